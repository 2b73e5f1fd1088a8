/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - names every call that fails, when VGPU_LOG=3 asks for it
 *
 * A framework that says "internal error" made some driver call that failed, and does not say which.
 * With tracing on, the addresses handed out by cuGetProcAddress and the private tables lead through
 * small pieces of code made at run time that look at each result on its way back. With tracing off
 * nothing of this exists. x86-64 only; calls resolved by the dynamic linker are not seen.
 */
#ifndef VGPU_GUEST_TRACE_H
#define VGPU_GUEST_TRACE_H

/* Where to call fn so that it is traced under name (kept, not copied); fn when tracing is off. */
void *vgpu_trace(const char *name, void *fn);

/* Traces the slots of a private table from first up to count; names are made from the table's. */
void vgpu_trace_table(const char *name, const void **table, unsigned first, unsigned count);

#endif
