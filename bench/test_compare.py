#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py must judge figures as the aims say: a wrong verdict would hide a slow path."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import compare

HERE = os.path.dirname(os.path.abspath(__file__))


def output(**medians):
    return {'results': [{'id': k, 'name': k, 'unit': 'ms' if k.startswith('copy_256M') else 'us',
                         'median': v} for k, v in medians.items()]}


class Judging(unittest.TestCase):
    def test_an_absolute_aim_ignores_the_native_figure(self):
        self.assertEqual(compare.limit('event_sync', 'us', 0.4), 3.0)

    def test_an_added_allowance_is_converted_to_the_unit_of_the_case(self):
        self.assertAlmostEqual(compare.limit('launch_sync', 'us', 8.0), 11.0)
        self.assertAlmostEqual(compare.limit('launch_sync', 'ms', 8.0), 8.003)

    def test_a_case_without_an_aim_is_never_missed(self):
        _, missed = compare.table([output(other=1.0)], [output(other=100.0)])
        self.assertEqual(missed, [])

    def test_the_median_of_the_rounds_decides(self):
        native = [output(copy_256M_to=10.0) for _ in range(3)]
        one_slow = [output(copy_256M_to=v) for v in (9.9, 9.8, 50.0)]
        two_slow = [output(copy_256M_to=v) for v in (9.9, 11.0, 50.0)]
        self.assertEqual(compare.table(native, one_slow)[1], [])
        self.assertEqual(compare.table(native, two_slow)[1], ['copy_256M_to'])

    def test_a_skipped_case_is_shown_and_not_judged(self):
        skipped = {'results': [{'id': 'copy_256M_to', 'name': 'copy', 'unit': 'ms', 'skipped': 'E'}]}
        rows, missed = compare.table([skipped], [skipped])
        self.assertIn('skipped', rows[-1])
        self.assertEqual(missed, [])


class Running(unittest.TestCase):
    def compare(self, mediator, code, *options):
        with tempfile.TemporaryDirectory() as folder:
            raw = os.path.join(folder, 'raw.json')
            done = subprocess.run(
                [sys.executable, os.path.join(HERE, 'compare.py'), '--mediator', mediator, '--rounds', '2',
                 '--raw', raw, *options, '--', sys.executable, '-c', code],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            kept = None
            if os.path.exists(raw):
                with open(raw, encoding='utf-8') as f:
                    kept = json.load(f)
            return done, kept

    def test_every_run_of_both_sides_is_kept(self):
        code = "import os; print('{\"p50_us\": %s}' % os.environ.get('FIGURE', '1'))"
        done, kept = self.compare('env FIGURE=3', code)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(kept['outputs'], {'native': [{'p50_us': 1}] * 2, 'mediated': [{'p50_us': 3}] * 2})
        self.assertIn('| 3.00 |', done.stdout.decode())

    def test_a_failing_side_is_an_error_and_no_table(self):
        done, kept = self.compare('false', "print('{\"p50_us\": 1}')")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, b'')
        self.assertIsNone(kept)

    def test_a_missed_aim_fails_when_enforced(self):
        code = ("import os; print('{\"results\": [{\"id\": \"event_sync\", \"name\": \"e\", \"unit\": \"us\", "
                "\"median\": %s}]}' % os.environ.get('FIGURE', '1'))")
        self.assertEqual(self.compare('env FIGURE=3.5', code, '--enforce')[0].returncode, 2)
        self.assertEqual(self.compare('env FIGURE=2.5', code, '--enforce')[0].returncode, 0)


if __name__ == '__main__':
    unittest.main()
