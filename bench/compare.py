#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run one benchmark natively and through the mediator, in turns, and compare the medians.

    compare.py --mediator "vgpu-run --gpu=nvidia --" [--rounds 5] [--raw raw.json] -- api_bench --json -

The command is run as it is and with the mediator's words before it: A B A B ..., so that a machine that
warms up or slows down does so for both. It must print one JSON object: either {"results": [{"id", "name",
"unit", "median"}, ...]} as api_bench --json - does, or flat numbers as the test programs do with --json.
The Markdown table goes to standard output, every run's output to the --raw file. Exit status 1 means that a
run failed; a missed aim is marked in the table and changes the status only with --enforce.
"""
import argparse
import datetime
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys

# What the mediated figure may be: at most `factor` x native + `plus_us`, or at most `us`.
AIMS = {
    'launch_async': {'us': 1.0},
    'launch_throughput': {'factor': 1.1},
    'launch_sync': {'plus_us': 3.0},
    'event_sync': {'us': 3.0},
    'mem_get_info': {'us': 3.0},
    'alloc_free': {'plus_us': 5.0},
    'copy_4B_to': {'plus_us': 3.0},
    'copy_4B_from': {'plus_us': 3.0},
    'copy_16M_to': {'factor': 1.0},
    'copy_16M_from': {'factor': 1.0},
    'copy_256M_to': {'factor': 1.0},
    'copy_256M_from': {'factor': 1.0},
    'copy_256M_pinned_to': {'factor': 1.03},
    'copy_256M_pinned_from': {'factor': 1.03},
    'process_start': {'factor': 1.0},
}
IN_US = {'us': 1.0, 'ms': 1e3, 's': 1e6}


def run(words, timeout):
    """One run: its JSON object; raises RuntimeError when it fails or prints none."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise RuntimeError(f'{shlex.join(words)}: {e}') from e
    if done.returncode != 0:
        text = done.stderr.decode(errors='replace').strip()
        raise RuntimeError(f'{shlex.join(words)}: status {done.returncode}: {text}')
    try:
        value = json.loads(done.stdout)
    except ValueError as e:
        raise RuntimeError(f'{shlex.join(words)}: output is no JSON: {e}') from e
    if not isinstance(value, dict):
        raise RuntimeError(f'{shlex.join(words)}: output is no JSON object')
    return value


def cases(output):
    """{id: (name, unit, value or None)} of one run; None where the run skipped the case."""
    if 'results' in output:
        return {r['id']: (r['name'], r['unit'], r.get('median')) for r in output['results']}
    found = {}
    for key, value in output.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            unit = key.rsplit('_', 1)[-1]
            known = unit in IN_US
            found[key] = (key[:-len(unit) - 1] if known and unit != key else key, unit if known else '', value)
    return found


def limit(case, unit, native):
    """The most the mediated figure may be, in the case's unit; None where there is no aim."""
    aim = AIMS.get(case)
    if aim is None:
        return None
    scale = IN_US[unit]
    if 'us' in aim:
        return aim['us'] / scale
    return native * aim.get('factor', 1.0) + aim.get('plus_us', 0.0) / scale


def aim_text(case):
    aim = AIMS.get(case)
    if aim is None:
        return ''
    if 'us' in aim:
        return f"≤ {aim['us']:g} µs"
    if 'plus_us' in aim:
        return f"≤ native + {aim['plus_us']:g} µs"
    return '≤ native' if aim['factor'] == 1.0 else f"≤ {aim['factor']:g} × native"


def first_match(path, pattern):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            found = re.search(pattern, f.read(), re.MULTILINE)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def machine(outputs):
    """What the figures were taken on, as a list of words."""
    cpu = first_match('/proc/cpuinfo', r'^model name\s*:\s*(.*)$') or platform.machine()
    about = [f'{cpu}, {os.cpu_count()} CPUs', f'Linux {platform.release()}']
    device = next((o['device'] for o in outputs if o.get('device')), None)
    version = next((o['cuda_driver'] for o in outputs if o.get('cuda_driver')), None)
    driver = first_match('/proc/driver/nvidia/version', r'NVRM version:.*?(\d+\.\d+(?:\.\d+)?)')
    if device:
        about.append(device)
    if driver:
        about.append(f'driver {driver}')
    if version:
        about.append(f'CUDA {version // 1000}.{version % 1000 // 10}')
    return about


def figure(value, unit):
    text = {'us': 'µs'}.get(unit, unit)
    number = f'{value:.0f}' if value >= 1e4 else f'{value:.4g}'
    return f'{number} {text}'.strip()


def table(native, mediated):
    """Markdown rows, and the ids of the cases that missed their aim."""
    rows = ['| case | native | mediated | ratio | aim | met |', '|---|---|---|---|---|---|']
    missed = []
    names = {}
    for output in native + mediated:
        for case, (name, unit, _) in cases(output).items():
            names.setdefault(case, (name, unit))
    for case, (name, unit) in names.items():
        sides = [[cases(o)[case][2] for o in side if case in cases(o)] for side in (native, mediated)]
        sides = [[v for v in side if v is not None] for side in sides]
        if not sides[0] or not sides[1]:
            rows.append(f'| {name} | ' + ' | '.join(
                figure(statistics.median(s), unit) if s else 'skipped' for s in sides) +
                f' | | {aim_text(case)} | |')
            continue
        a, b = (statistics.median(s) for s in sides)
        most = limit(case, unit, a)
        met = '' if most is None else 'yes' if b <= most else '**no**'
        if most is not None and b > most:
            missed.append(case)
        ratio = f'{b / a:.2f}' if a else ''
        rows.append(f'| {name} | {figure(a, unit)} | {figure(b, unit)} | {ratio} | {aim_text(case)} | '
                    f'{met} |')
    return rows, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--mediator', required=True, help='words before the command, e.g. "vgpu-run --"')
    parser.add_argument('--native', default='', help='words before the native command, e.g. "env A=B"')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--raw', default='compare.json', help='where every output goes (%(default)s)')
    parser.add_argument('--timeout', type=float, default=600, help='seconds per run (%(default)s)')
    parser.add_argument('--enforce', action='store_true', help='status 2 when an aim is missed')
    parser.add_argument('command', nargs='+')
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error('--rounds must be at least 1')

    sides = {'native': shlex.split(args.native) + args.command,
             'mediated': shlex.split(args.mediator) + args.command}
    outputs = {'native': [], 'mediated': []}
    date = datetime.datetime.now(datetime.timezone.utc)
    try:
        for _ in range(args.rounds):
            for side, words in sides.items():
                outputs[side].append(run(words, args.timeout))
    except RuntimeError as e:
        print(f'compare.py: {e}', file=sys.stderr)
        return 1

    about = machine(outputs['native'] + outputs['mediated'])
    with open(args.raw, 'w', encoding='utf-8') as f:
        json.dump({'date': date.isoformat(timespec='seconds'), 'machine': about, 'rounds': args.rounds,
                   'commands': sides, 'outputs': outputs}, f, indent=1, ensure_ascii=False)
        f.write('\n')
    rows, missed = table(outputs['native'], outputs['mediated'])
    print(f"### {', '.join(about)}, {date.strftime('%Y-%m-%d %H:%M')} UTC\n")
    print(f'Medians of {args.rounds} runs each, taken in turns.\n')
    print('\n'.join(rows))
    return 2 if missed and args.enforce else 0


if __name__ == '__main__':
    sys.exit(main())
