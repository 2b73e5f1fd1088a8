#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for XCP-ng's xe: keeps VMs in a file, and fails where it is told to.

$FAKE_XE_STATE names a JSON file: {"vms": {uuid: {name, power, platform}}, "fail": {command: how},
"calls": [...]}. how is the text of an error; "hang" sleeps; "late TEXT" does it and then fails.
A number in "fail_after" of a command lets that many calls pass first.
"""
import fcntl
import json
import os
import sys
import time

state_file = os.environ["FAKE_XE_STATE"]


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    with open(state_file, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        state["calls"].append(sys.argv[1:])
        key = command + (" force" if "force=true" in arguments else "")
        how = state["fail"].get(key)
        if how and state["fail_after"].get(key, 0) > 0:
            state["fail_after"][key] -= 1
            how = None
        if how and state["fail_times"].get(key, 1 << 30) <= 0:
            how = None
        if how:
            state["fail_times"][key] = state["fail_times"].get(key, 1 << 30) - 1
        text = ""
        if not how or how.startswith("late "):
            text = act(state, command, dict(word.split("=", 1) for word in arguments))
        file.seek(0)
        file.truncate()
        json.dump(state, file)
    if how == "hang":
        time.sleep(1000)
    if how:
        sys.stderr.write(how + "\n")
        sys.exit(1)
    sys.stdout.write(text)


def act(state, command, words):
    if command == "vm-list":
        return "".join(f"uuid ( RO)           : {uuid}\n     name-label ( RW): {vm['name']}\n"
                       f"    power-state ( RO): {vm['power']}\n\n\n" for uuid, vm in state["vms"].items())
    vm = state["vms"].get(words["uuid"])
    if vm is None:
        sys.stderr.write("The uuid you supplied was invalid.\ntype: VM\nuuid: " + words["uuid"] + "\n")
        sys.exit(1)
    if command == "vm-param-get" and "param-key" in words:
        if words["param-key"] not in vm["platform"]:
            sys.stderr.write("Error: Key " + words["param-key"] + " not found in map\n")
            sys.exit(1)
        return vm["platform"][words["param-key"]] + "\n"
    if command == "vm-param-get":
        return "; ".join(f"{k}: {v}" for k, v in vm["platform"].items()) + "\n"
    if command == "vm-param-set":
        for key, value in words.items():
            if key.startswith("platform:"):
                vm["platform"][key[9:]] = value
    elif command == "vm-param-remove":
        del vm["platform"][words["param-key"]]
    elif command == "vm-shutdown":
        vm["power"] = "halted"
    elif command == "vm-start":
        if vm["power"] == "running":
            sys.stderr.write("The VM is already running.\n")
            sys.exit(1)
        vm["power"] = "running"
    else:
        sys.stderr.write(f"Unknown command: {command}\n")
        sys.exit(1)
    return ""


main()
