#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How tenants share one GPU: loads of several kinds against the policies of the mediator's scheduler,
and without any mediator.

  bench_sched.py [--build DIR] [--gpu auto|nvidia|soft] [--policies rr,fair,direct] [--seconds S]
                 [--cases NAME,...] [--out DIR]

Each tenant is a process of its own with an identity of its own (a local socket each) in one private
mediator. Writes DIR/sched.json (everything measured) and DIR/sched.md (tables). Shares are of work done
in a time in which all tenants ran; work is GPU time in a unit that does not depend on who shares it.

On the software GPU, which is as many threads as there are CPUs, the figures say whether the scheduler
does what it should; what sharing costs can only be measured on a GPU.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from lab import Mediator, MediatorError  # noqa: E402

POLICIES = ("rr", "fair", "direct")

# Kernel time in us, launches per job, period of jobs in us (0: always busy), bytes copied per job.
LOADS = {
    "busy": (50, 32, 0, 0),
    "sync": (50, 1, 0, 0),
    "tiny": (5, 64, 0, 0),
    "long": (100000, 1, 0, 0),
    "bursty": (50, 100, 30000, 0),
    "copy": (20, 1, 0, 8 << 20),
    "urgent": (20, 1, 500, 0),
}
# A CPU executes the same kernels, but neither so short nor so often.
SOFT_LOADS = {
    "busy": (1000, 8, 0, 0),
    "sync": (1000, 1, 0, 0),
    "tiny": (200, 32, 0, 0),
    "long": (100000, 1, 0, 0),
    "bursty": (1000, 20, 100000, 0),
    "copy": (500, 1, 0, 4 << 20),
    "urgent": (200, 1, 20000, 0),
}


def tenant(load, priority="medium", pool="A", **limits):
    return {"load": load, "priority": priority, "pool": pool, "limits": limits}


CASES = {
    "alone": ([tenant("busy")], {}),
    "two": ([tenant("busy"), tenant("busy")], {}),
    "equal8": ([tenant("busy") for _ in range(8)], {}),
    "weights": ([tenant("busy", weight=400), tenant("busy", weight=200), tenant("busy", weight=100)], {}),
    "pools": ([tenant("busy", pool="A"), tenant("busy", pool="A"), tenant("busy", pool="B")],
              {"pools": {"A": 300, "B": 100}}),
    "sizes": ([tenant("busy"), tenant("long"), tenant("tiny"), tenant("sync")], {}),
    "urgent-busy": ([tenant("urgent", "high")] + [tenant("busy", "low") for _ in range(7)], {}),
    "urgent-long": ([tenant("urgent", "high"), tenant("long", "low")], {}),
    "limit10": ([tenant("busy", gpu_percent=10, gpu_burst_ms=20)], {}),
    "mixed": ([tenant("busy"), tenant("bursty"), tenant("long"), tenant("tiny"), tenant("copy"),
               tenant("urgent", "high")], {}),
}


def jain(values):
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


class Bench:
    def __init__(self, options):
        self.options = options
        self.load = os.path.join(options.build, "bench", "sched", "sched_load")
        self.gpu = options.gpu
        self.rounds = {}
        self.soft = False

    def environment(self, mediator, index):
        environment = dict(os.environ)
        if mediator:
            environment["VGPU_SOCKET"] = os.path.join(mediator.run_dir, f"tenant{index}.sock")
            environment["LD_LIBRARY_PATH"] = os.path.join(self.options.build, "guest", "libcuda")
        elif self.soft:
            environment["VGPU_LIBCUDA"] = os.path.join(self.options.build, "softgpu", "driver",
                                                       "libcuda-soft.so.1")
        return environment

    def mediator(self, policy, tenants, scheduler):
        identities = []
        for index, one in enumerate(tenants):
            identities.append({"uid": os.geteuid(), "socket": f"tenant{index}.sock", "name": f"tenant{index}",
                               "vm_id": index + 1, "pool": one["pool"], "priority": one["priority"],
                               "limits": one["limits"]})
        return Mediator(self.options.build, gpu=self.gpu, config={
            "scheduler": dict(scheduler, policy=policy), "local": identities,
            "spare_workers": min(len(tenants), 8), "worker_uid_base": 0})

    def calibrate(self):
        """Finds out which GPU there is and how many rounds a kernel of each length needs."""
        with self.mediator("rr", [tenant("busy")], {}) as mediator:
            about = mediator.stats()["gpu"]
            self.soft = "soft" in os.path.basename(about["driver"])
            self.loads = SOFT_LOADS if self.soft else LOADS
            for name, (length, *_) in self.loads.items():
                if length not in self.rounds:
                    done = subprocess.run([self.load, "--calibrate", str(length)], check=True, text=True,
                                          stdout=subprocess.PIPE, env=self.environment(mediator, 0))
                    self.rounds[length] = int(done.stdout)
        return about

    def command(self, name, seconds):
        length, launches, period, copied = self.loads[name]
        return [self.load, "--wait", f"--rounds={self.rounds[length]}", f"--launches={launches}",
                f"--period-us={period}", f"--copy-bytes={copied}", f"--seconds={seconds}"]

    def tenants(self, tenants, mediator):
        processes = []
        try:
            for index, one in enumerate(tenants):
                processes.append(subprocess.Popen(
                    self.command(one["load"], self.options.seconds), env=self.environment(mediator, index),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for process in processes:
                if process.stdout.readline() != "ready\n":
                    raise MediatorError(f"a load did not start\n{mediator.log_text() if mediator else ''}")
            before = mediator.stats() if mediator else None
            for process in processes:
                process.stdin.write("\n")
                process.stdin.flush()
            results = []
            for process in processes:
                text, _ = process.communicate(timeout=self.options.seconds * 20 + 120)
                if process.returncode:
                    raise MediatorError(f"a load ended with status {process.returncode}\n"
                                        f"{mediator.log_text() if mediator else ''}")
                results.append(json.loads(text))
            after = mediator.stats() if mediator else None
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        for index, result in enumerate(results):
            # The first and last slots are not of a time in which all ran.
            slots = result["work_per_slot"]
            result["load"] = tenants[index]["load"]
            result["priority"] = tenants[index]["priority"]
            result["weight"] = tenants[index]["limits"].get("weight")
            result["steady_work"] = sum(slots[1:-1]) if len(slots) > 4 else result["work"]
            if after:
                now = next(vm for vm in after["vms"] if vm["name"] == f"tenant{index}")
                was = next(vm for vm in before["vms"] if vm["name"] == f"tenant{index}")
                result["mediator"] = {key: now[key] - was[key] for key in
                                      ("gpu_ns", "charged_ns", "wait_ns", "turns", "preempted", "throttles")}
        return {"tenants": results,
                "switches": after["turns_passed"] - before["turns_passed"] if after else None}

    def run(self, case, policy):
        tenants, scheduler = CASES[case]
        if policy == "direct":
            return self.tenants(tenants, None)
        with self.mediator(policy, tenants, scheduler) as mediator:
            return self.tenants(tenants, mediator)


def fairness(case, result):
    """Jain's index of work per weight, of tenants that are always busy; None when there are not two."""
    tenants, _ = CASES[case]
    values = []
    for one, measured in zip(tenants, result["tenants"]):
        if one["load"] in ("busy", "long", "tiny", "sync") and one["priority"] == "medium":
            values.append(measured["steady_work"] / one["limits"].get("weight", 100))
    return jain(values) if len(values) > 1 and case != "pools" else None


def report(about, results, options):
    lines = [f"## Scheduling: {about.get('device', 'unknown GPU')}, {platform.node()}, "
             f"{datetime.date.today().isoformat()}", "",
             f"{options.seconds:g} s per case. share: of the work of all tenants; work/s: in units of what the "
             "case `alone` did without a mediator, or of its first policy.", ""]
    base = None
    for policy in ("direct",) + POLICIES:
        if (("alone", policy) in results) and base is None:
            only = results["alone", policy]["tenants"][0]
            base = only["work"] / only["seconds"]
    for case in CASES:
        rows = [(policy, results[case, policy]) for policy in POLICIES if (case, policy) in results]
        if not rows:
            continue
        lines += [f"### {case}", "",
                  "| policy | tenant | load | work/s | share | p50 ms | p95 ms | p99 ms | max ms | turns | Jain |",
                  "|---|---|---|---|---|---|---|---|---|---|---|"]
        for policy, result in rows:
            total = sum(one["steady_work"] for one in result["tenants"])
            index = fairness(case, result)
            for number, one in enumerate(result["tenants"]):
                rate = f"{one['work'] / one['seconds'] / base:.3f}" if base else "-"
                cells = [policy, f"{number}", f"{one['load']} {one['priority']}", rate,
                         f"{one['steady_work'] / total:.3f}" if total else "-"]
                cells += [f"{one['latency_us'].get(q, float('nan')) / 1e3:.3f}" for q in ("p50", "p95", "p99", "max")]
                cells += [str(one["mediator"]["turns"]) if "mediator" in one else "-",
                          f"{index:.4f}" if index is not None and number == 0 else ""]
                lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--gpu", default="auto", choices=("auto", "nvidia", "soft"))
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--out", default="bench-sched")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    policies, cases = options.policies.split(","), options.cases.split(",")
    for name in policies:
        if name not in POLICIES:
            parser.error(f"no such policy: {name}; there are {', '.join(POLICIES)}")
    for name in cases:
        if name not in CASES:
            parser.error(f"no such case: {name}; there are {', '.join(CASES)}")
    bench, results = Bench(options), {}
    try:
        about = bench.calibrate()
        for case in cases:
            for policy in policies:
                print(f"{case}: {policy}", file=sys.stderr, flush=True)
                results[case, policy] = bench.run(case, policy)
    except (MediatorError, subprocess.SubprocessError) as error:
        print(f"bench_sched.py: {error}", file=sys.stderr)
        return 1
    os.makedirs(options.out, exist_ok=True)
    text = report(about, results, options)
    with open(os.path.join(options.out, "sched.json"), "w", encoding="utf-8") as file:
        json.dump({"gpu": about, "rounds": bench.rounds, "seconds": options.seconds,
                   "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                   "results": {case: {policy: results[case, policy] for policy in policies} for case in cases}},
                  file, indent=1)
    with open(os.path.join(options.out, "sched.md"), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
