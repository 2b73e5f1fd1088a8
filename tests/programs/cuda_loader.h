/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_loader.h - binds the programs to a CUDA driver library at run time
 *
 * The programs call the driver under its exported names, as programs linked with -lcuda do. The
 * symbols are jumps through a table that cuda_load() fills from one library, so the same binary
 * runs on NVIDIA's driver, through the mediator's guest library and on the software GPU. x86-64
 * only, as cuda_abi.h is.
 */
#ifndef VGPU_TESTS_CUDA_LOADER_H
#define VGPU_TESTS_CUDA_LOADER_H

#include "protocol/cuda_abi.h"

/*
 * Opens the file that the environment variable VGPU_LIBCUDA names, else "libcuda.so.1" on the
 * loader's path. On failure says why on stderr and ends the process with status 77 (the code test
 * runners take as "skipped") when there is no such library, 1 otherwise. A call that the library
 * does not export ends the process with a line naming it, when it is first used.
 */
void cuda_load(void);
/* The path asked for, for reports. */
const char *cuda_library(void);

#endif
