/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel parameters and launch attributes reach the GPU as the program gave them, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/libcuda/guest.h"

/* (char, float, double, struct of 12 bytes, short) */
static struct vgpu_function_info *make_info(void)
{
    static const uint16_t layout[][2] = {{0, 1}, {4, 4}, {8, 8}, {16, 12}, {28, 2}};
    struct vgpu_function_info *info = calloc(1, sizeof(*info) + sizeof(layout));
    info->param_count = 5;
    info->param_bytes = 32;
    for (int i = 0; i < 5; i++) {
        info->params[i].offset = layout[i][0];
        info->params[i].size = layout[i][1];
    }
    return info;
}

static void array_of_pointers_is_gathered(void **state)
{
    struct vgpu_function_info *info = make_info();
    char c = 'x';
    float f = 1.5f;
    double d = -2.25;
    char s[12] = "hello world";
    short h = 0x1234;
    void *params[] = {&c, &f, &d, s, &h};
    uint8_t out[33], expected[32];
    memset(out, 0xee, sizeof(out));
    memset(expected, 0xee, sizeof(expected));
    memcpy(expected + 0, &c, 1);
    memcpy(expected + 4, &f, 4);
    memcpy(expected + 8, &d, 8);
    memcpy(expected + 16, s, 12);
    memcpy(expected + 28, &h, 2);
    assert_int_equal(vgpu_pack_params(info, params, NULL, out), CUDA_SUCCESS);
    assert_memory_equal(out, expected, 32);
    assert_int_equal(out[32], 0xee);
    params[3] = NULL;
    assert_int_equal(vgpu_pack_params(info, params, NULL, out), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_pack_params(info, NULL, NULL, out), CUDA_ERROR_INVALID_VALUE);
    free(info);
}

static void packed_buffer_is_taken_as_it_is(void **state)
{
    struct vgpu_function_info *info = make_info();
    uint8_t buffer[40], out[40];
    for (int i = 0; i < 40; i++)
        buffer[i] = (uint8_t)(i + 1);
    size_t size = 30; /* ends with the last parameter, before the padding */
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                     CU_LAUNCH_PARAM_END};
    memset(out, 0, sizeof(out));
    assert_int_equal(vgpu_pack_params(info, NULL, extra, out), CUDA_SUCCESS);
    assert_memory_equal(out, buffer, 30);
    assert_int_equal(out[30], 0);

    size = 40; /* longer than the parameters: never beyond them */
    memset(out, 0, sizeof(out));
    assert_int_equal(vgpu_pack_params(info, NULL, extra, out), CUDA_SUCCESS);
    assert_memory_equal(out, buffer, 32);
    assert_int_equal(out[32], 0);

    size = 29;
    assert_int_equal(vgpu_pack_params(info, NULL, extra, out), CUDA_ERROR_INVALID_VALUE);
    void *incomplete[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_END};
    assert_int_equal(vgpu_pack_params(info, NULL, incomplete, out), CUDA_ERROR_INVALID_VALUE);
    void *unknown[] = {(void *)7, buffer, CU_LAUNCH_PARAM_END};
    assert_int_equal(vgpu_pack_params(info, NULL, unknown, out), CUDA_ERROR_INVALID_VALUE);
    free(info);
}

static void function_without_parameters_needs_none(void **state)
{
    struct vgpu_function_info info = {0};
    uint8_t out[1];
    assert_int_equal(vgpu_pack_params(&info, NULL, NULL, out), CUDA_SUCCESS);
}

static void plain_attributes_pass(void **state)
{
    CUlaunchAttribute in[3] = {{.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION},
                               {.id = CU_LAUNCH_ATTRIBUTE_IGNORE},
                               {.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE}};
    struct vgpu_launch_attribute out[VGPU_LAUNCH_ATTRIBUTES_MAX];
    uint32_t count;
    in[0].value.clusterDim.x = 2;
    in[2].value.cooperative = 1;
    assert_int_equal(vgpu_launch_attributes(in, 3, out, &count), CUDA_SUCCESS);
    assert_int_equal(count, 2);
    assert_int_equal(out[0].id, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
    assert_memory_equal(out[0].value, &in[0].value, sizeof(in[0].value));
    assert_int_equal(out[1].id, CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
}

static void attributes_with_pointers_are_refused(void **state)
{
    const CUlaunchAttributeID refused[] = {
        CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT, CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT,
        CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW, CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE,
        (CUlaunchAttributeID)77};
    struct vgpu_launch_attribute out[VGPU_LAUNCH_ATTRIBUTES_MAX];
    uint32_t count;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        CUlaunchAttribute in = {.id = refused[i]};
        memset(&in.value, 1, sizeof(in.value));
        assert_int_equal(vgpu_launch_attributes(&in, 1, out, &count), CUDA_ERROR_NOT_SUPPORTED);
    }
    assert_int_equal(vgpu_launch_attributes(NULL, 1, out, &count), CUDA_ERROR_INVALID_VALUE);
    CUlaunchAttribute many[VGPU_LAUNCH_ATTRIBUTES_MAX + 1];
    for (int i = 0; i <= VGPU_LAUNCH_ATTRIBUTES_MAX; i++)
        many[i] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_PRIORITY};
    assert_int_equal(vgpu_launch_attributes(many, VGPU_LAUNCH_ATTRIBUTES_MAX + 1, out, &count),
                     CUDA_ERROR_INVALID_VALUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(array_of_pointers_is_gathered),
        cmocka_unit_test(packed_buffer_is_taken_as_it_is),
        cmocka_unit_test(function_without_parameters_needs_none),
        cmocka_unit_test(plain_attributes_pass),
        cmocka_unit_test(attributes_with_pointers_are_refused),
    };
    setenv("VGPU_LOG", "0", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
