/* SPDX-License-Identifier: Apache-2.0 */
/* A copy that lands a byte off, or before its turn, is data corruption. */
#include "soft_test.h"

#define WIDE 37u
#define HIGH 11u
#define DEEP 5u
#define PITCH 64u
#define SLICE (PITCH * 13u)
#define BOX (SLICE * 7u)

static void pattern(uint8_t *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 31 + i / 251 + seed);
}

static void linear_copies_move_every_byte(void **state)
{
    static const size_t sizes[] = {1, 3, 64, 4096, 32769, 65536, 65537, 3000001};
    struct soft *s = *state;
    size_t most = 3000001;
    uint8_t *in = malloc(most), *out = malloc(most), *pinned;
    CUdeviceptr a, b;

    ok(cuMemAlloc(&a, most));
    ok(cuMemAlloc(&b, most));
    ok(cuMemHostAlloc((void **)&pinned, most, 0));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];

        pattern(in, n, (unsigned)i);
        /* Through every kind of copy there is, and back. */
        ok(cuMemcpyHtoD(a, in, n));
        ok(cuMemcpyDtoD(b, a, n));
        ok(cuMemcpyDtoH(out, b, n));
        assert_memory_equal(in, out, n);

        pattern(in, n, (unsigned)i + 50);
        ok(cuMemcpyHtoDAsync(a, in, n, s->a));
        memset(in, 0, n); /* pageable: the source may be reused at once */
        ok(cuMemcpyDtoDAsync(b, a, n, s->a));
        ok(cuMemcpyDtoHAsync(pinned, b, n, s->a));
        ok(cuStreamSynchronize(s->a));
        pattern(in, n, (unsigned)i + 50);
        assert_memory_equal(in, pinned, n);

        pattern(pinned, n, (unsigned)i + 90);
        ok(cuMemcpyAsync(b, (CUdeviceptr)(uintptr_t)pinned, n, s->a));
        ok(cuMemcpyAsync(a, b, n, s->a));
        ok(cuMemcpyDtoHAsync(out, a, n, s->a)); /* pageable: there when the call returns */
        assert_memory_equal(out, pinned, n);
        memset(out, 0, n);
        ok(cuMemcpy((CUdeviceptr)(uintptr_t)out, b, n));
        assert_memory_equal(out, pinned, n);
        ok(cuMemcpy((CUdeviceptr)(uintptr_t)in, (CUdeviceptr)(uintptr_t)out, n));
        assert_memory_equal(in, out, n);
    }
    ok(cuMemFree(a));
    ok(cuMemFree(b));
    ok(cuMemFreeHost(pinned));
    free(in);
    free(out);
}

static void copies_wait_for_their_turn(void **state)
{
    struct soft *s = *state;
    size_t n = 1 << 20;
    uint8_t *pinned;
    CUdeviceptr a;

    ok(cuMemAlloc(&a, n));
    ok(cuMemHostAlloc((void **)&pinned, n, 0));
    memset(pinned, 1, n);
    s->flag[0] = 0;
    hold(s, s->a, &s->flag[0]);
    ok(cuMemcpyHtoDAsync(a, pinned, n, s->a));
    memset(pinned, 2, n); /* pinned: read when its turn comes */
    ok(cuMemsetD8Async(a, 3, 10, s->a));
    let_go(&s->flag[0]);
    ok(cuStreamSynchronize(s->a));
    ok(cuMemcpyDtoH(pinned, a, n));
    assert_int_equal(pinned[9], 3);
    assert_int_equal(pinned[10], 2);
    assert_int_equal(pinned[n - 1], 2);
    ok(cuMemFree(a));
    ok(cuMemFreeHost(pinned));
}

static void ranges_are_checked(void **state)
{
    struct soft *s = *state;
    uint8_t buffer[64] = {0};
    CUdeviceptr a, b;

    ok(cuMemAlloc(&a, 100));
    ok(cuMemAlloc(&b, 100));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(a + 50, buffer, 51));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(a - 1, buffer, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(buffer, a, SIZE_MAX));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(NULL, a, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(a, NULL, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoD(a, b, 101));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD((CUdeviceptr)(uintptr_t)buffer, buffer, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpy(a, 0x10, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoDAsync(a + 99, buffer, 2, s->a));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(a, 0, 101));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(a, 0, SIZE_MAX));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(a, 0, SIZE_MAX / 2));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(a + 2, 0, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD16(a + 1, 0, 1));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD2D8(a, 10, 0, 20, 2));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemsetD2D8(a, SIZE_MAX / 2, 0, 20, 9));
    expect(CUDA_ERROR_INVALID_HANDLE, cuMemcpyHtoDAsync(a, buffer, 1, (CUstream)(uintptr_t)0x5555));
    ok(cuMemcpyHtoD(a, buffer, 0));
    ok(cuMemsetD8(a, 0, 100));
    ok(cuMemFree(a));
    ok(cuMemFree(b));
}

static void fills_write_their_elements_only(void **state)
{
    struct soft *s = *state;
    static uint8_t out[BOX], want[BOX];
    CUdeviceptr a;

    ok(cuMemAlloc(&a, BOX));
    ok(cuMemsetD8(a, 0x11, BOX));
    memset(want, 0x11, BOX);
    ok(cuMemsetD16Async(a + 2, 0xbeef, 5, s->a));
    ok(cuMemsetD32Async(a + 16, 0x12345678, 3, s->a));
    ok(cuMemsetD2D8Async(a + 128, PITCH, 0x22, WIDE, HIGH, s->a));
    ok(cuMemsetD2D16Async(a + 1024, PITCH, 0x3344, 7, 3, s->a));
    ok(cuMemsetD2D32Async(a + 2048, PITCH, 0x55667788, 4, 4, s->a));
    ok(cuStreamSynchronize(s->a));
    for (unsigned i = 0; i < 5; i++)
        memcpy(want + 2 + 2 * i, "\xef\xbe", 2);
    for (unsigned i = 0; i < 3; i++)
        memcpy(want + 16 + 4 * i, "\x78\x56\x34\x12", 4);
    for (unsigned y = 0; y < HIGH; y++)
        memset(want + 128 + y * PITCH, 0x22, WIDE);
    for (unsigned y = 0; y < 3; y++)
        for (unsigned i = 0; i < 7; i++)
            memcpy(want + 1024 + y * PITCH + 2 * i, "\x44\x33", 2);
    for (unsigned y = 0; y < 4; y++)
        for (unsigned i = 0; i < 4; i++)
            memcpy(want + 2048 + y * PITCH + 4 * i, "\x88\x77\x66\x55", 4);
    ok(cuMemcpyDtoH(out, a, BOX));
    assert_memory_equal(out, want, BOX);
    ok(cuMemFree(a));
}

enum where { HOST, DEVICE, UNIFIED_DEVICE, UNIFIED_HOST };

static void set_src(CUDA_MEMCPY2D *c, enum where w, uint8_t *host, CUdeviceptr dev)
{
    c->srcMemoryType = w == HOST     ? CU_MEMORYTYPE_HOST
                       : w == DEVICE ? CU_MEMORYTYPE_DEVICE
                                     : CU_MEMORYTYPE_UNIFIED;
    c->srcHost = w == HOST ? host : NULL;
    c->srcDevice = w == UNIFIED_HOST ? (CUdeviceptr)(uintptr_t)host : w == HOST ? 0 : dev;
}

static void set_dst(CUDA_MEMCPY2D *c, enum where w, uint8_t *host, CUdeviceptr dev)
{
    c->dstMemoryType = w == HOST     ? CU_MEMORYTYPE_HOST
                       : w == DEVICE ? CU_MEMORYTYPE_DEVICE
                                     : CU_MEMORYTYPE_UNIFIED;
    c->dstHost = w == HOST ? host : NULL;
    c->dstDevice = w == UNIFIED_HOST ? (CUdeviceptr)(uintptr_t)host : w == HOST ? 0 : dev;
}

static void rectangles_move_between_all_kinds_of_memory(void **state)
{
    struct soft *s = *state;
    static uint8_t src[BOX], dst[BOX], want[BOX];
    CUdeviceptr dsrc, ddst;

    ok(cuMemAlloc(&dsrc, BOX));
    ok(cuMemAlloc(&ddst, BOX));
    for (int from = HOST; from <= UNIFIED_HOST; from++) {
        for (int to = HOST; to <= UNIFIED_HOST; to++) {
            for (int form = 0; form < 3; form++) {
                CUDA_MEMCPY2D c = {.srcXInBytes = 5,
                                   .srcY = 2,
                                   .srcPitch = PITCH,
                                   .dstXInBytes = 9,
                                   .dstY = 1,
                                   .dstPitch = 2 * PITCH,
                                   .WidthInBytes = WIDE,
                                   .Height = HIGH};

                pattern(src, BOX, (unsigned)(from * 7 + to));
                memset(dst, 0xcc, BOX);
                memset(want, 0xcc, BOX);
                for (unsigned y = 0; y < HIGH; y++)
                    memcpy(want + (y + 1) * 2 * PITCH + 9, src + (y + 2) * PITCH + 5, WIDE);
                ok(cuMemcpyHtoD(dsrc, src, BOX));
                ok(cuMemcpyHtoD(ddst, dst, BOX));
                set_src(&c, from, src, dsrc);
                set_dst(&c, to, dst, ddst);
                if (form == 0)
                    ok(cuMemcpy2D(&c));
                else if (form == 1)
                    ok(cuMemcpy2DUnaligned(&c));
                else
                    ok(cuMemcpy2DAsync(&c, s->a));
                ok(cuStreamSynchronize(s->a));
                if (to == DEVICE || to == UNIFIED_DEVICE)
                    ok(cuMemcpyDtoH(dst, ddst, BOX));
                assert_memory_equal(dst, want, BOX);
            }
        }
    }
    ok(cuMemFree(dsrc));
    ok(cuMemFree(ddst));
}

static void rectangles_are_checked(void **state)
{
    uint8_t host[1024] = {0};
    CUdeviceptr a;
    const CUDA_MEMCPY2D good = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                                .srcHost = host,
                                .srcPitch = 32,
                                .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                                .dstPitch = 32,
                                .WidthInBytes = 32,
                                .Height = 32};
    CUDA_MEMCPY2D c;

    (void)state;
    ok(cuMemAlloc(&a, 1024));
#define BAD(member, value)                                                                         \
    do {                                                                                           \
        c = good;                                                                                  \
        c.dstDevice = a;                                                                           \
        c.member = value;                                                                          \
        expect(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(&c));                                          \
    } while (0)
    BAD(Height, 33);
    BAD(dstY, 1);
    BAD(dstXInBytes, 1);
    BAD(dstPitch, 31);
    BAD(dstPitch, 33);
    BAD(srcPitch, 31);
    BAD(dstPitch, SIZE_MAX);
    BAD(dstY, SIZE_MAX);
    BAD(srcY, SIZE_MAX / 2);
    BAD(Height, SIZE_MAX);
    BAD(WidthInBytes, SIZE_MAX);
    BAD(srcHost, NULL);
    BAD(srcMemoryType, 0);
    BAD(dstMemoryType, 9);
    BAD(dstDevice, 0);
    c = good;
    c.dstDevice = a;
    c.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    expect(CUDA_ERROR_NOT_SUPPORTED, cuMemcpy2D(&c));
    c = good;
    c.dstDevice = a;
    ok(cuMemcpy2D(&c));
    c.Height = 0;
    c.dstDevice = 0;
    ok(cuMemcpy2D(&c));
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(NULL));
    ok(cuMemFree(a));
}

static void boxes_move(void **state)
{
    struct soft *s = *state;
    static uint8_t src[BOX], dst[BOX], want[BOX];
    CUdeviceptr a;
    CUDA_MEMCPY3D c = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                       .srcHost = src,
                       .srcXInBytes = 3,
                       .srcY = 1,
                       .srcZ = 2,
                       .srcPitch = PITCH,
                       .srcHeight = SLICE / PITCH,
                       .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                       .dstXInBytes = 1,
                       .dstY = 2,
                       .dstZ = 1,
                       .dstPitch = PITCH,
                       .dstHeight = SLICE / PITCH,
                       .WidthInBytes = WIDE,
                       .Height = HIGH,
                       .Depth = DEEP};

    ok(cuMemAlloc(&a, BOX));
    for (int form = 0; form < 2; form++) {
        pattern(src, BOX, (unsigned)form);
        memset(want, 0, BOX);
        for (unsigned z = 0; z < DEEP; z++)
            for (unsigned y = 0; y < HIGH; y++)
                memcpy(want + (z + 1) * SLICE + (y + 2) * PITCH + 1,
                       src + (z + 2) * SLICE + (y + 1) * PITCH + 3, WIDE);
        ok(cuMemsetD8(a, 0, BOX));
        c.dstDevice = a;
        if (form == 0)
            ok(cuMemcpy3D(&c));
        else
            ok(cuMemcpy3DAsync(&c, s->b));
        ok(cuCtxSynchronize());
        ok(cuMemcpyDtoH(dst, a, BOX));
        assert_memory_equal(dst, want, BOX);
    }
    c.Depth = 7;
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpy3D(&c));
    c.Depth = DEEP;
    c.srcHeight = HIGH - 1;
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpy3D(&c));
    c.srcHeight = SIZE_MAX;
    expect(CUDA_ERROR_INVALID_VALUE, cuMemcpy3D(&c));
    ok(cuMemFree(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_copies_move_every_byte),
        cmocka_unit_test(copies_wait_for_their_turn),
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(fills_write_their_elements_only),
        cmocka_unit_test(rectangles_move_between_all_kinds_of_memory),
        cmocka_unit_test(rectangles_are_checked),
        cmocka_unit_test(boxes_move),
    };

    return cmocka_run_group_tests(tests, soft_setup, soft_teardown);
}
