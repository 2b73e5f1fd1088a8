/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: any bytes as PTX, loaded and, when valid, run for a bounded time. */
#include "../unit/engine/ptx_once.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256];
    struct sg_log log = {text, sizeof(text), 0};

    ptx_once((const char *)data, size, &log);
    return 0;
}
