/* SPDX-License-Identifier: Apache-2.0 */
/* host_nvml.h - the readings that host_nvml.c gives */
#ifndef VGPU_TEST_HOST_NVML_H
#define VGPU_TEST_HOST_NVML_H

#define HOST_DRIVER_VERSION "999.12.03"
#define HOST_NVML_VERSION "13.999.12.03"
#define HOST_POWER 123456u
#define HOST_TEMPERATURE 47u
#define HOST_CLOCK 1500u
#define HOST_ENERGY 0x123456789aull
#define HOST_SERIAL "1320000000042"
#define HOST_PCI_ID 0x233510deu
#define HOST_PCI_SUBSYSTEM 0x18be10deu
#define HOST_TOTAL (141ull << 30)
#define HOST_RESERVED (600ull << 20)
#define HOST_USED (5ull << 30)

#endif
