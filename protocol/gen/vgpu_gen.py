#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generates marshalling from the API description (protocol/api/).

  vgpu_gen.py ops.api exports.api NAMES OUTDIR

writes into OUTDIR:
  vgpu_ops.h        operation numbers, record and reply layouts         (both sides)
  vgpu_ops.c        the table of operations: names, classes, sizes      (both sides, fuzzers)
  vgpu_rpc.h/.c     one function per operation for the guest library    (guest)
  vgpu_decode.h/.c    bounds-checked decoders, and the driver's table     (worker)
  vgpu_exports.h/.c every exported name; refusals for what is not served (guest)
  vgpu_fuzz.dict    operation numbers as a fuzzing dictionary
  supported-calls.md
The language of ops.api and exports.api is described at their heads.
"""
import re
import sys
from pathlib import Path

SCALARS = {"u8": ("uint8_t", 1), "u32": ("uint32_t", 4), "i32": ("int32_t", 4), "u64": ("uint64_t", 8), "f32": ("float", 4)}
HANDLES = {
    "ctx": ("VGPU_TYPE_CONTEXT", "CUcontext"), "mod": ("VGPU_TYPE_MODULE", "CUmodule"),
    "func": ("VGPU_TYPE_FUNCTION", "CUfunction"), "lib": ("VGPU_TYPE_LIBRARY", "CUlibrary"),
    "kern": ("VGPU_TYPE_KERNEL", "CUkernel"), "stream": ("VGPU_TYPE_STREAM", "CUstream"),
    "event": ("VGPU_TYPE_EVENT", "CUevent"), "blob": ("VGPU_TYPE_BLOB", "struct vgpu_blob *"),
    "graph": ("VGPU_TYPE_GRAPH", "struct worker_graph *"), "exec": ("VGPU_TYPE_GRAPH_EXEC", "CUgraphExec"),
    "fn": (None, "CUfunction"),
}
RECORD_BYTES, RECORD_MAX, REPLY_PAYLOAD = 16, 64 << 10, 4032
HEADER = "/* SPDX-License-Identifier: Apache-2.0 */\n/* Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. */\n"


class ApiError(Exception):
    pass


class Field:
    def __init__(self, words, where):
        self.where, self.optional, self.mode, self.bound, self.count, self.maximum = where, False, "", None, 0, 0
        if words and words[0] in ("new", "del"):
            self.mode, words = words[0], words[1:]
        if len(words) != (3 if words[:1] == ["bytes"] else 2):
            raise ApiError(f"{where}: want 'TYPE NAME', or 'bytes NAME MAX'")
        kind, name = words[0], words[1]
        if kind.startswith("?"):
            self.optional, kind = True, kind[1:]
        match = re.fullmatch(r"(addr|heap)\((\w+)\)", kind)
        if match:
            kind, self.bound = match.group(1), match.group(2)
        elif kind in ("addr", "heap"):
            raise ApiError(f"{where}: '{kind}' needs a size")
        match = re.fullmatch(r"(\w+)\[(\d+)\]", name)
        if match:
            name, self.count = match.group(1), int(match.group(2))
        array = match
        match = re.fullmatch(r"(\w+)\[(\d+)\]", kind)
        if match:
            kind, self.count = match.group(1), int(match.group(2))
        if kind == "bytes":
            if not words[2].isdigit():
                raise ApiError(f"{where}: '{words[2]}' is no number of bytes")
            self.maximum = int(words[2])
        # What is checked one by one must come one by one.
        if (array or match) and (kind not in SCALARS or not self.count):
            raise ApiError(f"{where}: no array of {self.count} '{kind}'")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ApiError(f"{where}: '{name}' is no field name")
        if (self.optional and kind not in HANDLES) or (self.mode and (kind not in HANDLES or kind == "fn")):
            raise ApiError(f"{where}: '{kind}' is no handle that can be {'left out' if self.optional else self.mode}")
        self.kind, self.name = kind, name
        if kind in SCALARS:
            self.ctype, self.size = SCALARS[kind]
        elif kind in ("addr", "heap"):
            self.ctype, self.size = "uint64_t", 8
        elif kind in HANDLES or kind == "release":
            self.ctype, self.size = "uint32_t", 4
        elif kind == "dev":
            self.ctype, self.size = "int32_t", 4
        elif kind in ("bytes", "tail"):
            self.ctype, self.size = "uint8_t", 0
        else:
            raise ApiError(f"{where}: unknown type '{kind}'")
        self.variable = kind in ("bytes", "tail")
        self.handle = kind in HANDLES

    def declare(self):
        return f"    {self.ctype} {self.name}{f'[{self.count}]' if self.count else ''};\n"

    def bytes(self):
        return self.size * (self.count or 1)


class Op:
    def __init__(self, number, name, klass, where):
        self.number, self.name, self.klass, self.where = number, name, klass, where
        self.ins, self.outs, self.host, self.note = [], [], None, []

    def fixed(self, fields):
        # Largest first: natural alignment without padding.
        return sorted([f for f in fields if not f.variable], key=lambda f: -f.size)

    def tail(self, fields):
        tails = [f for f in fields if f.variable]
        return tails[0] if tails else None

    def request_bytes(self):
        return RECORD_BYTES + sum(f.bytes() for f in self.ins)

    def reply_bytes(self):
        return sum(f.bytes() for f in self.outs)

    def check(self):
        for fields, limit, what in ((self.ins, RECORD_MAX, "record"), (self.outs, REPLY_PAYLOAD, "reply")):
            for f in fields:
                if f.kind == ("tail" if fields is self.ins else "bytes") or (fields is self.outs and f.kind not in SCALARS and f.kind != "tail"):
                    raise ApiError(f"{f.where}: '{f.kind}' cannot be {'an argument' if fields is self.ins else 'a result'}")
            variable = [f for f in fields if f.variable]
            if len(variable) > 1 or (variable and fields[-1] is not variable[0]):
                raise ApiError(f"{self.where}: only the last field may be variable")
            total = (RECORD_BYTES if fields is self.ins else 0) + sum(f.bytes() for f in fields)
            if total + sum(f.maximum for f in variable) > limit:
                raise ApiError(f"{self.where}: {what} of {self.name} exceeds {limit} bytes")
            names = [f.name for f in fields]
            if len(set(names)) != len(names):
                raise ApiError(f"{self.where}: two fields of one name")
        if sum(f.kind == "release" for f in self.ins) > 1:
            raise ApiError(f"{self.where}: two release words")
        if self.klass == "deferred" and self.outs:
            raise ApiError(f"{self.where}: a deferred operation has no reply")


def parse_ops(path):
    ops, drivers, op = [], {}, None
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        where = f"{path}:{number}"
        text = line.split("#", 1)[0].rstrip() if not line.strip().startswith("#") else ""
        if line.startswith("    #") and op is not None:
            op.note.append(line.strip()[1:].strip())
            continue
        words = text.split()
        if not words:
            continue
        if words[0] == "op":
            if len(words) != 4 or not words[1].isdigit() or words[3] not in ("deferred", "sync", "wait"):
                raise ApiError(f"{where}: want 'op NUMBER NAME deferred|sync|wait'")
            op = Op(int(words[1]), words[2], words[3], where)
            if any(o.number == op.number or o.name == op.name for o in ops) or not 0 < op.number < 512:
                raise ApiError(f"{where}: number or name used before, or out of 1..511")
            ops.append(op)
        elif words[0] in ("driver", "driver?"):
            for name in words[1:]:
                drivers[name] = words[0] == "driver"
        elif words[0] == "in" and op:
            op.ins.append(Field(words[1:], where))
        elif words[0] == "out" and op:
            op.outs.append(Field(words[1:], where))
        elif words[0] == "host" and op:
            match = re.fullmatch(r"host (\w+)\((.*)\)", text.strip())
            if not match:
                raise ApiError(f"{where}: want 'host DRIVERCALL(ARGS)'")
            op.host = (match.group(1), [a.strip() for a in match.group(2).split(",") if a.strip()])
            drivers.setdefault(match.group(1), True)
        else:
            raise ApiError(f"{where}: cannot read '{line.strip()}'")
    for op in ops:
        op.check()
    return sorted(ops, key=lambda o: o.number), drivers


def ops_header(ops):
    out = [HEADER, "#ifndef VGPU_OPS_H\n#define VGPU_OPS_H\n#include <stdint.h>\n#include \"protocol/vgpu_arena.h\"\n\nenum vgpu_op {\n"]
    out += [f"    VGPU_OP_{o.name} = {o.number},\n" for o in ops]
    out.append(f"}};\n#define VGPU_OP_LIMIT {ops[-1].number + 1}\n\n")
    for o in ops:
        if o.note:
            out.append("/* " + "\n * ".join(o.note) + " */\n")
        out.append(f"struct vgpu_req_{o.name} {{\n    struct vgpu_record record;\n")
        out += [f.declare() for f in o.fixed(o.ins)]
        tail = o.tail(o.ins)
        if tail:
            out.append(f"    /* then: {tail.name}, at most {tail.maximum} bytes */\n")
        out.append("};\n")
        out.append(f"#define VGPU_REQ_BYTES_{o.name} {o.request_bytes()}u\n")
        if o.outs:
            out.append(f"struct vgpu_rsp_{o.name} {{\n")
            fixed = o.fixed(o.outs)
            out += [f.declare() for f in fixed]
            if not fixed:
                out.append("    uint8_t tail[0];\n")
            out.append("};\n")
            out.append(f"#define VGPU_RSP_BYTES_{o.name} {o.reply_bytes()}u\n")
        out.append("\n")
    out.append("""enum vgpu_op_class { VGPU_CLASS_NONE, VGPU_CLASS_DEFERRED, VGPU_CLASS_SYNC, VGPU_CLASS_WAIT };

/* What a decoder or fuzzer must know of an operation before looking at its arguments. */
struct vgpu_op_info {
    const char *name;           /* NULL: no such operation */
    uint8_t op_class;           /* enum vgpu_op_class */
    uint32_t request_bytes;     /* the fixed part, record header included */
    uint32_t request_tail_max;  /* bytes that may follow it */
    uint32_t reply_bytes;       /* the fixed part of the payload */
    uint32_t release_offset;    /* of the field that names a release word, in the record; 0: none */
};
extern const struct vgpu_op_info vgpu_op_table[VGPU_OP_LIMIT];

/* Name of an operation for logs and tables; "unknown" for a number that names none. */
const char *vgpu_op_name(unsigned op);

#endif
""")
    return "".join(out)


def ops_source(ops):
    out = [HEADER, '#include <stddef.h>\n#include "vgpu_ops.h"\n\n']
    # Sizes are summed without padding; the compiler must agree.
    for o in ops:
        last = o.fixed(o.ins)
        if last:
            f = last[-1]
            out.append(f"_Static_assert(offsetof(struct vgpu_req_{o.name}, {f.name}) + {f.bytes()} == VGPU_REQ_BYTES_{o.name}, \"no padding\");\n")
    out.append("\nconst struct vgpu_op_info vgpu_op_table[VGPU_OP_LIMIT] = {\n")
    for o in ops:
        tail = o.tail(o.ins)
        release = next((f"offsetof(struct vgpu_req_{o.name}, {f.name})" for f in o.ins if f.kind == "release"), "0")
        out.append(f"    [VGPU_OP_{o.name}] = {{\"{o.name}\", VGPU_CLASS_{o.klass.upper()}, {o.request_bytes()}, {tail.maximum if tail else 0}, {o.reply_bytes()}, {release}}},\n")
    out.append("};\n\nconst char *vgpu_op_name(unsigned op)\n{\n    return op < VGPU_OP_LIMIT && vgpu_op_table[op].name ? vgpu_op_table[op].name : \"unknown\";\n}\n")
    return "".join(out)


def rpc_signature(o):
    args = []
    for f in o.ins:
        if f.kind == "bytes":
            args += [f"const void *{f.name}", f"uint32_t {f.name}_bytes"]
        elif f.count:
            args.append(f"const {f.ctype} {f.name}[{f.count}]")
        else:
            args.append(f"{f.ctype} {f.name}")
    for f in o.outs:
        if f.kind == "tail":
            args += [f"void *{f.name}", f"uint32_t *{f.name}_bytes"]
        elif f.count:
            args.append(f"{f.ctype} {f.name}_out[{f.count}]")
        else:
            args.append(f"{f.ctype} *{f.name}_out")
    return f"CUresult vgpu_rpc_{o.name}({', '.join(args) or 'void'})"


def rpc_header(ops):
    out = [HEADER, """#ifndef VGPU_RPC_GENERATED_H
#define VGPU_RPC_GENERATED_H
#include <stdint.h>
#include "protocol/cuda_abi.h"
#include "vgpu_ops.h"

/*
 * One function per operation. Arguments as in ops.api; NAME_out receives a result and may be NULL;
 * a tail result takes the room in *NAME_bytes and leaves the bytes received there. A deferred
 * operation returns as soon as it is on the ring: CUDA_SUCCESS says no more than that.
 */
"""]
    out += [rpc_signature(o) + ";\n" for o in ops]
    out.append("\n#endif\n")
    return "".join(out)


def rpc_source(ops):
    out = [HEADER, '#include <string.h>\n#include "guest/libcuda/rpc.h"\n#include "vgpu_rpc.h"\n\n']
    for o in ops:
        tail = o.tail(o.ins)
        out.append(rpc_signature(o) + "\n{\n    struct vgpu_rpc rpc;\n")
        if tail:
            out.append(f"    if ({tail.name}_bytes > {tail.maximum})\n        return CUDA_ERROR_INVALID_VALUE;\n")
        size = f"VGPU_REQ_BYTES_{o.name}" + (f" + {tail.name}_bytes" if tail else "")
        reply = "true" if o.klass != "deferred" else "false"
        out.append(f"    struct vgpu_req_{o.name} *request = vgpu_rpc_begin(&rpc, VGPU_OP_{o.name}, {size}, {reply});\n")
        out.append("    if (!request)\n        return rpc.result;\n")
        for f in o.fixed(o.ins):
            if f.count:
                out.append(f"    memcpy(request->{f.name}, {f.name}, sizeof(request->{f.name}));\n")
            else:
                out.append(f"    request->{f.name} = {f.name};\n")
        if tail:
            out.append(f"    if ({tail.name}_bytes)\n        memcpy((uint8_t *)request + VGPU_REQ_BYTES_{o.name}, {tail.name}, {tail.name}_bytes);\n")
        if o.klass == "deferred":
            out.append("    return vgpu_rpc_post(&rpc);\n}\n\n")
            continue
        if not o.outs:
            out.append("    vgpu_rpc_call(&rpc, 0);\n    return vgpu_rpc_end(&rpc);\n}\n\n")
            continue
        out.append(f"    const struct vgpu_rsp_{o.name} *reply = vgpu_rpc_call(&rpc, VGPU_RSP_BYTES_{o.name});\n    if (reply) {{\n")
        for f in o.fixed(o.outs):
            if f.count:
                out.append(f"        if ({f.name}_out)\n            memcpy({f.name}_out, reply->{f.name}, sizeof(reply->{f.name}));\n")
            else:
                out.append(f"        if ({f.name}_out)\n            *{f.name}_out = reply->{f.name};\n")
        tail = o.tail(o.outs)
        if tail:
            out.append(f"""        uint32_t extra = rpc.reply_bytes - VGPU_RSP_BYTES_{o.name};
        if (extra > *{tail.name}_bytes)
            extra = *{tail.name}_bytes;
        memcpy({tail.name}, (const uint8_t *)reply + VGPU_RSP_BYTES_{o.name}, extra);
        *{tail.name}_bytes = extra;
""")
        out.append("    }\n    return vgpu_rpc_end(&rpc);\n}\n\n")
    return "".join(out)


def args_struct(o):
    out = [f"struct worker_args_{o.name} {{\n"]
    for f in o.ins:
        if f.kind == "bytes":
            out.append(f"    const uint8_t *{f.name}; /* private copy, {f.name}_bytes long, 4-byte aligned */\n    uint32_t {f.name}_bytes;\n")
        elif f.handle and f.mode == "new":
            out.append(f"    uint32_t {f.name}; /* free handle */\n")
        elif f.handle:
            star = HANDLES[f.kind][1]
            out.append(f"    {star}{'' if star.endswith('*') else ' '}{f.name};\n    uint32_t {f.name}_handle;\n")
        else:
            out.append(f.declare())
    if not o.ins:
        out.append("    int none;\n")
    out.append("};\n")
    return "".join(out)


def host_header(ops, drivers):
    out = [HEADER, """#ifndef VGPU_DECODE_H
#define VGPU_DECODE_H
#include <stdbool.h>
#include <stdint.h>
#include "protocol/cuda_abi.h"
#include "vgpu_ops.h"

struct vgpu_worker;
struct vgpu_blob;
struct worker_graph;

/* The driver library's entry points; those marked optional may be NULL. */
struct vgpu_driver {
"""]
    for name, required in sorted(drivers.items()):
        out.append(f"    __typeof__(&{name}) {name};{'' if required else ' /* optional */'}\n")
    out.append("""};
struct vgpu_driver_symbol {
    const char *name;
    size_t offset; /* of the pointer in struct vgpu_driver */
    bool required;
};
extern const struct vgpu_driver_symbol vgpu_driver_symbols[]; /* ends with name NULL */

/* What a handler answers. payload starts zeroed; size is set to the fixed part before the handler. */
struct vgpu_answer {
    uint32_t size; /* bytes of payload to send; a handler with a tail adds to it */
    uint32_t violation; /* not 0: the record broke the protocol; the channel is closed */
    const char *reason; /* for the log, with a violation */
    _Alignas(16) uint8_t payload[VGPU_REPLY_PAYLOAD];
};

/*
 * Services the generated decoders need from the worker. find: the driver's handle of that type, or
 * CUDA_ERROR_INVALID_HANDLE / INVALID_CONTEXT. resolve: a function, or a kernel's function in the
 * current context. insert never fails for a handle that worker_handle_free() accepted just before.
 */
const struct vgpu_driver *worker_driver(struct vgpu_worker *worker);
CUresult worker_find(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle, void **out);
CUresult worker_resolve(struct vgpu_worker *worker, uint32_t handle, CUfunction *out);
bool worker_handle_free(struct vgpu_worker *worker, uint32_t handle);
void worker_insert(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle, void *object);
void worker_remove(struct vgpu_worker *worker, enum vgpu_handle_type type, uint32_t handle);
int worker_device_count(struct vgpu_worker *worker);
/* Does [address, address + bytes) lie in the device window or the arena / in the arena's heap? */
bool worker_in_memory(struct vgpu_worker *worker, uint64_t address, uint64_t bytes);
bool worker_in_heap(struct vgpu_worker *worker, uint64_t address, uint64_t bytes);

/*
 * Decodes and executes one record. record: a private copy, size bytes, 8-byte aligned, size checked
 * to be at least a record header and at most VGPU_RECORD_MAX. Sets answer->violation for a record
 * that no correct guest library sends.
 */
CUresult worker_execute(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size,
                           struct vgpu_answer *answer);

/* Arguments after decoding: handles found, ranges checked. */
""")
    for o in ops:
        out.append(args_struct(o))
    out.append("\n/* Handlers written by hand, in mediator/worker/. out points into the answer's payload. */\n")
    for o in ops:
        if not o.host:
            rsp = f", struct vgpu_rsp_{o.name} *out" if o.outs else ""
            out.append(f"CUresult worker_do_{o.name}(struct vgpu_worker *worker, const struct worker_args_{o.name} *args{rsp}, struct vgpu_answer *answer);\n")
    out.append("\n#endif\n")
    return "".join(out)


def bound_expression(o, f):
    fields = {g.name: g for g in o.ins}
    if not f.bound.isdigit() and (f.bound not in fields or fields[f.bound].kind not in ("u32", "u64") or fields[f.bound].count):
        raise ApiError(f"{f.where}: no unsigned field '{f.bound}'")
    return f.bound if f.bound.isdigit() else f"request->{f.bound}"


def host_source(ops, drivers):
    out = [HEADER, '#include <stddef.h>\n#include <string.h>\n#include "vgpu_decode.h"\n\n']
    out.append("const struct vgpu_driver_symbol vgpu_driver_symbols[] = {\n")
    for name, required in sorted(drivers.items()):
        out.append(f"    {{\"{name}\", offsetof(struct vgpu_driver, {name}), {'true' if required else 'false'}}},\n")
    out.append("    {NULL, 0, false},\n};\n\n")
    out.append("""static CUresult violation(struct vgpu_answer *answer, const char *reason)
{
    answer->violation = 1;
    answer->reason = reason;
    return CUDA_ERROR_INVALID_VALUE;
}

""")
    for o in ops:
        out.append(f"static CUresult decode_{o.name}(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size, struct vgpu_answer *answer)\n{{\n")
        out.append(f"    const struct vgpu_req_{o.name} *request = (const void *)record;\n    struct worker_args_{o.name} args = {{0}};\n    (void)request;\n    (void)size;\n    (void)args;\n")
        handles = [f for f in o.ins if f.handle and f.mode != "new"]
        if handles:
            out.append("    CUresult result;\n")
        for f in o.ins:
            n = f.name
            if f.kind == "bytes":
                out.append(f"    args.{n} = (const uint8_t *)record + VGPU_REQ_BYTES_{o.name};\n    args.{n}_bytes = size - VGPU_REQ_BYTES_{o.name};\n")
            elif f.handle and f.mode == "new":
                out.append(f"    if (!worker_handle_free(worker, request->{n}))\n        return violation(answer, \"handle for {n} is in use or out of range\");\n    args.{n} = request->{n};\n")
            elif f.kind == "fn":
                out.append(f"    args.{n}_handle = request->{n};\n    result = worker_resolve(worker, request->{n}, &args.{n});\n    if (result != CUDA_SUCCESS)\n        return result;\n")
            elif f.handle:
                guard = f"request->{n} ? " if f.optional else ""
                other = " : CUDA_SUCCESS" if f.optional else ""
                out.append(f"    args.{n}_handle = request->{n};\n    result = {guard}worker_find(worker, {HANDLES[f.kind][0]}, request->{n}, (void **)&args.{n}){other};\n    if (result != CUDA_SUCCESS)\n        return result;\n")
            elif f.count:
                out.append(f"    memcpy(args.{n}, request->{n}, sizeof(args.{n}));\n")
            else:
                out.append(f"    args.{n} = request->{n};\n")
            if f.kind == "dev":
                out.append(f"    if (args.{n} < 0 || args.{n} >= worker_device_count(worker))\n        return CUDA_ERROR_INVALID_DEVICE;\n")
            if f.kind == "release":
                out.append(f"    if (args.{n} > 256)\n        return violation(answer, \"release index out of range\");\n")
        for f in o.ins:
            if f.kind == "addr":
                out.append(f"    if (!worker_in_memory(worker, request->{f.name}, {bound_expression(o, f)}))\n        return CUDA_ERROR_INVALID_VALUE;\n")
            if f.kind == "heap":
                out.append(f"    if (!worker_in_heap(worker, request->{f.name}, {bound_expression(o, f)}))\n        return violation(answer, \"{f.name} lies outside the heap\");\n")
        if o.outs:
            out.append(f"    answer->size = VGPU_RSP_BYTES_{o.name};\n    struct vgpu_rsp_{o.name} *rsp = (void *)answer->payload;\n    (void)rsp;\n")
        if not o.host:
            rsp = ", rsp" if o.outs else ""
            out.append(f"    return worker_do_{o.name}(worker, &args{rsp}, answer);\n}}\n\n")
            continue
        call, arguments = o.host
        outs, ins = {f.name for f in o.outs}, {f.name: f for f in o.ins}
        pre, post, rendered = [], [], []
        for a in arguments:
            match = re.fullmatch(r"(\([\w *]+\))?&(\w+)", a)
            if match and match.group(2) in ins and ins[match.group(2)].mode == "new":
                f = ins[match.group(2)]
                pre.append(f"    {HANDLES[f.kind][1]} created = NULL;\n")
                post.append(f"    if (made == CUDA_SUCCESS)\n        worker_insert(worker, {HANDLES[f.kind][0]}, args.{f.name}, created);\n")
                rendered.append("&created")
            elif match and match.group(2) in outs:
                rendered.append(f"{match.group(1) or ''}&rsp->{match.group(2)}")
            elif a in ins:
                rendered.append(f"args.{a}")
            else:
                raise ApiError(f"{o.where}: '{a}' in host line of {o.name} is no field")
        for f in o.ins:
            if f.mode == "del" and o.klass == "deferred":
                # The guest has forgotten the handle already and may choose it again.
                post.append(f"    worker_remove(worker, {HANDLES[f.kind][0]}, args.{f.name}_handle);\n")
            elif f.mode == "del":
                post.append(f"    if (made == CUDA_SUCCESS)\n        worker_remove(worker, {HANDLES[f.kind][0]}, args.{f.name}_handle);\n")
        out += pre
        if not drivers[call]:
            out.append(f"    if (!worker_driver(worker)->{call})\n        return CUDA_ERROR_NOT_SUPPORTED;\n")
        # Enumerations travel as 32-bit integers; C converts them at the call.
        out.append(f"    CUresult made = worker_driver(worker)->{call}({', '.join(rendered)});\n")
        out += post
        out.append("    return made;\n}\n\n")
    out.append("typedef CUresult decoder(struct vgpu_worker *, const struct vgpu_record *, uint32_t, struct vgpu_answer *);\n")
    out.append("static decoder *const decoders[VGPU_OP_LIMIT] = {\n")
    out += [f"    [VGPU_OP_{o.name}] = decode_{o.name},\n" for o in ops]
    out.append("""};

CUresult worker_execute(struct vgpu_worker *worker, const struct vgpu_record *record, uint32_t size,
                           struct vgpu_answer *answer)
{
    answer->size = 0;
    answer->violation = 0;
    answer->reason = NULL;
    if (record->opcode >= VGPU_OP_LIMIT || !decoders[record->opcode])
        return violation(answer, "unknown operation");
    const struct vgpu_op_info *info = &vgpu_op_table[record->opcode];
    if (size < info->request_bytes || size - info->request_bytes > info->request_tail_max)
        return violation(answer, "record size does not fit its operation");
    if ((record->reply == VGPU_REPLY_NONE) != (info->op_class == VGPU_CLASS_DEFERRED))
        return violation(answer, "reply slot does not fit the operation's class");
    /* What a handler does not write must not show what an earlier answer held. */
    memset(answer->payload, 0, info->reply_bytes);
    return decoders[record->opcode](worker, record, size, answer);
}
""")
    return "".join(out)


def parse_exports(path, names):
    served = {}
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        where = f"{path}:{number}"
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) < 2 or words[1] not in ("local", "served"):
            raise ApiError(f"{where}: want 'NAME local|served [TEST ...]'")
        if words[0] not in names:
            raise ApiError(f"{where}: '{words[0]}' is not in the list of exported names")
        if words[0] in served:
            raise ApiError(f"{where}: '{words[0]}' stands twice")
        served[words[0]] = (words[1], words[2:])
    return served


def exports_source(names, served):
    # Every export has its own wrapper only when refused; served ones are defined in guest/libcuda/.
    out = [HEADER, """#include <stddef.h>
#include "protocol/cuda_abi.h"
#include <stdatomic.h>
#include "guest/libcuda/refuse.h"
#include "vgpu_exports.h"

"""]
    for n in names:
        if n in served:
            out.append(f"extern char served_{n}[] __asm__(\"{n}\");\n")
        elif n.startswith("cudbg"):
            out.append(f"__attribute__((visibility(\"default\"))) CUresult {n}(void);\nCUresult {n}(void)\n{{\n    return CUDA_ERROR_NOT_SUPPORTED;\n}}\n")
        else:
            # cuda_abi.h may declare a refused call with its true type: go round the prototype.
            out.append(f"__attribute__((visibility(\"default\"))) CUresult refused_{n}(void) __asm__(\"{n}\");\nCUresult refused_{n}(void)\n{{\n    static atomic_int once;\n    return vgpu_refuse(&once, \"{n}\");\n}}\n")
    out.append("\nconst struct vgpu_export vgpu_exports[] = {\n")
    for n in sorted(names):
        if n.startswith("cudbg"):
            continue
        address = f"served_{n}" if n in served else f"refused_{n}"
        out.append(f"    {{\"{n}\", (void *){address}, {'true' if n in served else 'false'}}},\n")
    out.append("};\nconst size_t vgpu_export_count = sizeof(vgpu_exports) / sizeof(vgpu_exports[0]);\n")
    return "".join(out)


EXPORTS_HEADER = HEADER + """#ifndef VGPU_EXPORTS_H
#define VGPU_EXPORTS_H
#include <stdbool.h>
#include <stddef.h>

/* Every exported cu* symbol, sorted by name with strcmp(). */
struct vgpu_export {
    const char *name;
    void *address;
    bool served; /* false: returns CUDA_ERROR_NOT_SUPPORTED and logs once */
};
extern const struct vgpu_export vgpu_exports[];
extern const size_t vgpu_export_count;

#endif
"""


def table(names, served, ops):
    out = ["<!-- SPDX-License-Identifier: Apache-2.0 -->\n<!-- Generated from protocol/api/ by protocol/gen/vgpu_gen.py: do not edit. -->\n# Supported calls\n\n"
           "`served`: goes to the GPU's driver on the host. `local`: answered in the guest. `refused`: returns\n"
           "CUDA_ERROR_NOT_SUPPORTED and logs the call's name once.\n\n"]
    count = {"served": 0, "local": 0, "refused": 0}
    rows = []
    for n in sorted(names):
        if n.startswith("cudbg"):
            continue
        how, tests = served.get(n, ("refused", []))
        count[how] += 1
        rows.append(f"| {n} | {how} | {', '.join(tests)} |\n")
    out.append(f"{count['served']} served, {count['local']} local, {count['refused']} refused.\n\n| call | how | tested by |\n| --- | --- | --- |\n")
    out += rows
    out.append("\n## Operations on the ring\n\n| number | operation | class | driver call |\n| --- | --- | --- | --- |\n")
    out += [f"| {o.number} | {o.name} | {o.klass} | {o.host[0] if o.host else 'by hand'} |\n" for o in ops]
    return "".join(out)


def dictionary(ops):
    out = ["# SPDX-License-Identifier: Apache-2.0\n# Generated from protocol/api/: opcode, then the record's size, little-endian\n"]
    for o in ops:
        number, size = o.number, o.request_bytes()
        out.append(f'op_{o.name}="\\x{number & 255:02x}\\x{number >> 8:02x}"\n')
        out.append(f'size_{o.name}="\\x{size & 255:02x}\\x{size >> 8:02x}\\x00\\x00"\n')
    return "".join(out)



def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    ops_path, exports_path, names_path, outdir = sys.argv[1:]
    out = Path(outdir)
    try:
        ops, drivers = parse_ops(ops_path)
        names = Path(names_path).read_text().split()
        served = parse_exports(exports_path, set(names))
        files = {
            "vgpu_ops.h": ops_header(ops), "vgpu_ops.c": ops_source(ops),
            "vgpu_rpc.h": rpc_header(ops), "vgpu_rpc.c": rpc_source(ops),
            "vgpu_decode.h": host_header(ops, drivers), "vgpu_decode.c": host_source(ops, drivers),
            "vgpu_exports.h": EXPORTS_HEADER, "vgpu_exports.c": exports_source(names, served),
            "vgpu_fuzz.dict": dictionary(ops), "supported-calls.md": table(names, served, ops),
        }
    except ApiError as error:
        sys.exit(f"vgpu_gen: {error}")
    for name, text in files.items():
        (out / name).write_text(text)


if __name__ == "__main__":
    main()
