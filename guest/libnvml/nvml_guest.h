/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvml_guest.h - what the files of the guest's libnvidia-ml.so.1 share
 *
 * The library has a channel of its own, a small one. nvmlInit learns what does not change; the
 * channel is closed again when nothing has been asked for NVML_IDLE_NS, and opened anew by the next
 * question, because frameworks initialise NVML, count the GPUs and never shut it down, and an open
 * channel holds a worker on the host.
 *
 * Threads: any call from any thread; calls that need the host take turns. After fork() the child
 * goes on with a channel of its own.
 */
#ifndef VGPU_NVML_GUEST_H
#define VGPU_NVML_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/libnvml/nvml_abi.h"
#include "guest/libnvml/refuse.h"
#include "protocol/cuda_abi.h"
#include "protocol/vgpu_nvml.h"

#define NVML_DEVICES_MAX 16
#define NVML_IDLE_NS 3000000000ull

/* What a GPU is; constant while NVML is initialised. */
struct nvml_device {
    int ordinal;
    char name[96];
    char uuid[48]; /* "GPU-" and the driver's UUID */
    unsigned domain, bus, device;
    int capability_major, capability_minor;
    int multiprocessors;
};

struct nvml_state {
    unsigned device_count;
    int cuda_version;
    struct nvml_device devices[NVML_DEVICES_MAX];
};

extern struct nvml_state nvml_state;

/* One line on stderr when environment VGPU_LOG (0 to 3, default 1) is at least level. */
enum { NVML_LOG_ERRORS = 1, NVML_LOG_INFO, NVML_LOG_DEBUG };
void nvml_say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* NVML_SUCCESS between nvmlInit and nvmlShutdown, else NVML_ERROR_UNINITIALIZED. */
nvmlReturn_t nvml_ready(void);
/* Initialised, and device is a handle: NVML_SUCCESS, else what the call is to return. */
nvmlReturn_t nvml_check(nvmlDevice_t device);

/*
 * Makes one operation: in is what follows the record's header, in_bytes long; out receives
 * out_bytes, the fixed part of the answer; tail, unless NULL, receives at most *tail_bytes of the
 * rest and leaves their number there. Connects when there is no channel.
 */
nvmlReturn_t nvml_call(uint16_t op, const void *in, uint32_t in_bytes, void *out,
                       uint32_t out_bytes, void *tail, uint32_t *tail_bytes);

/* One reading (vgpu_nvml.h). text: VGPU_NVML_TEXT bytes or NULL. The host's result. */
nvmlReturn_t nvml_read(nvmlDevice_t device, enum vgpu_nvml_read read, uint32_t argument,
                       uint64_t values[3], char *text);

/* Copies text into a caller's buffer: INVALID_ARGUMENT for NULL, INSUFFICIENT_SIZE when too short.
 */
nvmlReturn_t nvml_text(char *out, unsigned length, const char *text);

/*
 * Processes of this VM with a context on device, at most room of them; *count receives how many
 * there are.
 */
nvmlReturn_t nvml_processes(nvmlDevice_t device, struct vgpu_nvml_process *out, unsigned room,
                            unsigned *count);

/* Command of a process of this VM, at most length bytes with its NUL. NOT_FOUND: no such process.
 */
nvmlReturn_t nvml_process_name(unsigned pid, char *name, unsigned length);

/* Calls that other files make; their types are NVML's. */
NVML_API nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device);

#endif
