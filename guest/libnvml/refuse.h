/* SPDX-License-Identifier: Apache-2.0 */
/* refuse.h - what a call of NVML that is not served answers with */
#ifndef VGPU_NVML_REFUSE_H
#define VGPU_NVML_REFUSE_H

#include "guest/libnvml/nvml_abi.h"

/* Logs the call's name at level info. NVML_ERROR_UNINITIALIZED or NVML_ERROR_NOT_SUPPORTED. */
nvmlReturn_t nvml_refuse(const char *name);

#endif
