/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvml.h - the host's NVML, for what the guest's libnvidia-ml asks
 *
 * Two sources: readings of the board come from the host's libnvidia-ml.so.1, where there is one
 * that knows the driver's GPU (the software GPU has none: NVML_ERROR_NOT_SUPPORTED); what concerns
 * the VM comes from the daemon. No CUDA context is needed or made.
 */
#ifndef VGPU_WORKER_NVML_H
#define VGPU_WORKER_NVML_H

#include "worker.h"

/*
 * Opens the host's library, which is left uninitialised until a guest asks: that takes time and few
 * processes ask. Without the library worker->nvml stays NULL. Call before worker_sandbox().
 */
void worker_nvml_load(struct vgpu_worker *worker);

#endif
