/* SPDX-License-Identifier: Apache-2.0 */
/* Images, modules, libraries, functions, launches. */
#include "tests/unit/worker/rig.h"

#define LOG_AT ((uintptr_t)rig.heap + (4 << 20))

static const char bad_ptx[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry k()\n{ nonsense.u32 %r1; }\n";

static void ptx_becomes_a_module_with_functions_and_variables(void **state)
{
    uint32_t module = rig_module();
    uint32_t fill = rig_function(module, "fill");
    static const char nul[] = {'f', 0, 'l'};

    assert_int_equal(
        CALL(ModuleGetFunction, "absent", 6, .module = module, .function = rig_handle()),
        CUDA_ERROR_NOT_FOUND);
    assert_int_equal(CALL(ModuleGetFunction, NULL, 0, .module = module, .function = rig_handle()),
                     CUDA_ERROR_NOT_FOUND);
    assert_int_equal(CALL(ModuleGetFunction, nul, 3, .module = module, .function = rig_handle()),
                     CUDA_ERROR_NOT_FOUND);
    /* a handle of another type, or generation */
    assert_int_equal(CALL(ModuleGetFunction, "fill", 4, .module = fill, .function = rig_handle()),
                     CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(ModuleGetFunction, "fill", 4,
                          .module = module | 1u << VGPU_HANDLE_INDEX_BITS,
                          .function = rig_handle()),
                     CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(ModuleNames, NULL, 0, .module = module), CUDA_SUCCESS);
    assert_int_equal(ANSWER(ModuleNames)->count, 3);
    const char *names = (const char *)rig.reply->payload + VGPU_RSP_BYTES_ModuleNames;
    assert_int_equal(rig.reply->size, VGPU_RSP_BYTES_ModuleNames + sizeof("fill") + sizeof("hold") +
                                          sizeof("nothing"));
    assert_non_null(memmem(names, rig.reply->size, "hold", 5));
    assert_int_equal(CALL(ModuleNames, NULL, 0, .module = module, .first = 3), CUDA_SUCCESS);
    assert_int_equal(rig.reply->size, VGPU_RSP_BYTES_ModuleNames);
}

static void variables_can_be_copied_to_until_their_module_goes(void **state)
{
    uint32_t module = rig_module();

    assert_int_equal(CALL(ModuleGetGlobal, "table", 5, .module = module), CUDA_SUCCESS);
    uint64_t table = ANSWER(ModuleGetGlobal)->address;
    assert_int_equal(ANSWER(ModuleGetGlobal)->size, 64);
    SEND(CopyInline, "hello", 5, .destination = table + 59, .bytes = 5);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = table + 59, .bytes = 5), CUDA_SUCCESS);
    assert_memory_equal(rig.reply->payload, "hello", 5);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = table + 60, .bytes = 5),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(CALL(ModuleGetGlobal, "fill", 4, .module = module), CUDA_ERROR_NOT_FOUND);
    assert_int_equal(CALL(ModuleUnload, NULL, 0, .module = module), CUDA_SUCCESS);
    assert_false(worker_in_memory(&rig.worker, table, 1));
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = table, .bytes = 4),
                     CUDA_ERROR_INVALID_VALUE);
}

static void functions_go_with_their_module(void **state)
{
    uint32_t module = rig_module(), other = rig_module();
    uint32_t fill = rig_function(module, "fill"), kept = rig_function(other, "fill");
    uint64_t memory = rig_alloc(64);

    assert_int_equal(CALL(ModuleUnload, NULL, 0, .module = module), CUDA_SUCCESS);
    assert_int_equal(CALL(FunctionInfo, NULL, 0, .function = fill), CUDA_ERROR_INVALID_HANDLE);
    rig_fill(fill, 0, memory, 1, 1);
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_ERROR_INVALID_HANDLE);
    rig_fill(kept, 0, memory, 1, 1);
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_SUCCESS);
}

static void logs_come_back_from_good_and_bad_images(void **state)
{
    uint32_t blob = rig_blob(bad_ptx, sizeof(bad_ptx) - 1);
    char *log = (char *)LOG_AT;

    memset(log, 'x', 8192);
    CUresult result =
        CALL(ModuleLoad, NULL, 0, .module = rig_handle(), .blob = blob, .info_log = LOG_AT,
             .info_size = 4096, .error_log = LOG_AT + 4096, .error_size = 4096);
    assert_int_equal(result, CUDA_ERROR_INVALID_PTX);
    assert_in_range(strnlen(log + 4096, 4096), 1, 4095);
    /* A log of one byte is the terminator; none at all may stand anywhere. */
    assert_int_equal(CALL(ModuleLoad, NULL, 0, .module = rig_handle(), .blob = blob,
                          .error_log = LOG_AT, .error_size = 1),
                     CUDA_ERROR_INVALID_PTX);
    assert_int_equal(log[0], 0);
    assert_null(rig.worker.violation);
    CALL(ModuleLoad, NULL, 0, .module = rig_handle(), .blob = blob,
         .error_log = VGPU_ARENA_ADDRESS_MIN, .error_size = 4096);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    assert_int_equal(CALL(ModuleLoad, NULL, 0, .module = rig_handle(), .blob = blob,
                          .error_log = LOG_AT, .error_size = (1 << 20) + 1),
                     CUDA_ERROR_INVALID_VALUE);
}

static CUresult load_with(uint32_t option, uint64_t value)
{
    struct vgpu_jit_option list = {.option = option, .value = value};
    uint32_t blob = rig_blob(rig_ptx, rig_ptx_bytes), module = rig_handle();
    CUresult result = CALL(ModuleLoad, &list, sizeof(list), .module = module, .blob = blob);

    SEND(BlobFree, NULL, 0, .blob = blob);
    if (result == CUDA_SUCCESS)
        CALL(ModuleUnload, NULL, 0, .module = module);
    return result;
}

static void only_options_without_pointers_reach_the_driver(void **state)
{
    static const uint32_t refused[] = {
        CU_JIT_WALL_TIME,           CU_JIT_INFO_LOG_BUFFER,
        CU_JIT_ERROR_LOG_BUFFER,    CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
        CU_JIT_GLOBAL_SYMBOL_NAMES, CU_JIT_GLOBAL_SYMBOL_ADDRESSES,
        CU_JIT_GLOBAL_SYMBOL_COUNT, CU_JIT_REFERENCED_KERNEL_NAMES,
        CU_JIT_NUM_OPTIONS,         UINT32_MAX,
    };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(load_with(refused[i], 0x4141414141414141), CUDA_ERROR_NOT_SUPPORTED);
    assert_int_equal(load_with(CU_JIT_MAX_REGISTERS, 32), CUDA_SUCCESS);
    assert_int_equal(load_with(CU_JIT_OPTIMIZATION_LEVEL, 4), CUDA_SUCCESS);
    uint32_t blob = rig_blob(rig_ptx, rig_ptx_bytes);
    assert_int_equal(CALL(ModuleLoad, "1234567", 7, .module = rig_handle(), .blob = blob),
                     CUDA_ERROR_INVALID_VALUE);
}

static void a_wrapper_with_a_pointer_is_no_image(void **state)
{
    struct {
        uint32_t magic, version;
        uint64_t data, file;
    } wrapper = {0x466243b1, 1, 0x4141414141414141, 0};
    uint32_t blob = rig_blob(&wrapper, sizeof(wrapper));

    assert_int_equal(CALL(ModuleLoad, NULL, 0, .module = rig_handle(), .blob = blob),
                     CUDA_ERROR_INVALID_IMAGE);
    assert_int_equal(
        CALL(ModuleLoad, NULL, 0, .module = rig_handle(), .blob = blob, .fat_binary = 1),
        CUDA_ERROR_INVALID_IMAGE);
    assert_int_equal(CALL(LibraryLoad, NULL, 0, .library = rig_handle(), .blob = blob),
                     CUDA_ERROR_INVALID_IMAGE);
}

static void images_of_noise_are_refused(void **state)
{
    static uint8_t noise[5000];
    static const uint32_t heads[] = {0, 0x464c457f, 0xba55ed50, 0x7265762e};
    unsigned seed = 7;

    for (int round = 0; round < 64; round++) {
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (uint8_t)rand_r(&seed);
        memcpy(noise, &heads[round % 4], 4);
        uint32_t blob = rig_blob(noise, 1 + rand_r(&seed) % sizeof(noise));
        assert_int_not_equal(CALL(ModuleLoad, NULL, 0, .module = rig_handle(), .blob = blob,
                                  .fat_binary = round & 1),
                             CUDA_SUCCESS);
        SEND(BlobFree, NULL, 0, .blob = blob);
    }
}

static void blobs_are_bounded(void **state)
{
    uint64_t before = rig.worker.blob_bytes;
    uint32_t blob = rig_handle(), first = rig_handle();

    SEND(BlobCreate, NULL, 0, .blob = blob, .size = 0);
    assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_OUT_OF_MEMORY);
    SEND(BlobCreate, NULL, 0, .blob = blob, .size = UINT64_MAX);
    SEND(BlobCreate, NULL, 0, .blob = blob, .size = (2ull << 30) + 1);
    assert_null(worker_object(&rig.worker, VGPU_TYPE_BLOB, blob));
    SEND(BlobCreate, NULL, 0, .blob = first, .size = 1ull << 30);
    SEND(BlobCreate, NULL, 0, .blob = blob, .size = 1ull << 30);
    assert_non_null(worker_object(&rig.worker, VGPU_TYPE_BLOB, first));
    assert_null(worker_object(&rig.worker, VGPU_TYPE_BLOB, blob));
    SEND(BlobFree, NULL, 0, .blob = first);
    assert_int_equal(rig.worker.blob_bytes, before);
    SEND(BlobFree, NULL, 0, .blob = first); /* a deferred error, no more */
    assert_null(rig.worker.violation);
    rig.worker.deferred_error = CUDA_SUCCESS;

    /* Exactly to the end, and not beyond. */
    SEND(BlobCreate, NULL, 0, .blob = blob, .size = 4096);
    SEND(BlobWrite, NULL, 0, .blob = blob, .offset = 4095, .data = LOG_AT, .size = 1, .release = 1);
    assert_int_equal(rig.worker.host.view.shared->release[0], 1);
    assert_null(rig.worker.violation);
    SEND(BlobWrite, NULL, 0, .blob = blob, .offset = UINT64_MAX, .data = LOG_AT, .size = 2);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    SEND(BlobWrite, NULL, 0, .blob = blob, .offset = 4096, .data = LOG_AT, .size = 1);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    SEND(BlobWrite, NULL, 0, .blob = blob, .data = 0x1000, .size = 1);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    SEND(BlobFree, NULL, 0, .blob = blob);
    /* A failed upload returns its part of the heap. */
    SEND(BlobWrite, NULL, 0, .blob = blob, .data = LOG_AT, .size = 1, .release = 2);
    assert_int_equal(rig.worker.host.view.shared->release[1], 1);
}

static void libraries_serve_kernels_in_every_context(void **state)
{
    uint32_t library = rig_handle(), kernel = rig_handle(), module = rig_handle(),
             blob = rig_blob(rig_ptx, rig_ptx_bytes), first = rig.context, second = rig_handle();

    assert_int_equal(CALL(LibraryLoad, NULL, 0, .library = library, .blob = blob), CUDA_SUCCESS);
    SEND(BlobFree, NULL, 0, .blob = blob);
    assert_int_equal(CALL(LibraryGetKernel, "fill", 4, .library = library, .kernel = kernel),
                     CUDA_SUCCESS);
    assert_int_equal(CALL(LibraryNames, NULL, 0, .library = library), CUDA_SUCCESS);
    assert_int_equal(ANSWER(LibraryNames)->count, 3);
    assert_int_equal(CALL(CtxCreate, NULL, 0, .context = second), CUDA_SUCCESS);
    for (int i = 0; i < 4; i++) {
        rig.context = i % 2 ? second : first;
        uint64_t memory = rig_alloc(64);
        rig_fill(kernel, 0, memory, 10 + i, 1);
        assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = 4), CUDA_SUCCESS);
        assert_int_equal(*(uint32_t *)rig.reply->payload, 10 + i);
        rig_free(memory);
    }
    rig.context = second;
    assert_int_equal(CALL(LibraryGetGlobal, "table", 5, .library = library), CUDA_SUCCESS);
    uint64_t table = ANSWER(LibraryGetGlobal)->address;
    assert_true(worker_in_memory(&rig.worker, table, 64));
    assert_int_equal(CALL(CtxDestroy, NULL, 0, .context = second), CUDA_SUCCESS);
    rig.context = first;
    assert_false(worker_in_memory(&rig.worker, table, 1));
    uint64_t memory = rig_alloc(64);
    rig_fill(kernel, 0, memory, 77, 1);
    assert_int_equal(CALL(CopyOutInline, NULL, 0, .source = memory, .bytes = 4), CUDA_SUCCESS);
    assert_int_equal(*(uint32_t *)rig.reply->payload, 77);

    /* Everything that came from the library goes with it. */
    assert_int_equal(CALL(LibraryGetModule, NULL, 0, .library = library, .module = module),
                     CUDA_SUCCESS);
    uint32_t function = rig_function(module, "fill");
    assert_int_equal(CALL(LibraryUnload, NULL, 0, .library = library), CUDA_SUCCESS);
    assert_int_equal(CALL(FunctionInfo, NULL, 0, .function = function), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(FunctionInfo, NULL, 0, .function = kernel), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(ModuleNames, NULL, 0, .module = module), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(CALL(LibraryNames, NULL, 0, .library = library), CUDA_ERROR_INVALID_HANDLE);
}

static void function_info_gives_the_parameter_layout(void **state)
{
    uint32_t fill = rig_function(rig_module(), "fill");

    assert_int_equal(CALL(FunctionInfo, NULL, 0, .function = fill), CUDA_SUCCESS);
    assert_int_equal(ANSWER(FunctionInfo)->param_count, 3);
    assert_int_equal(ANSWER(FunctionInfo)->param_bytes, 16);
    const uint16_t *pairs = (const void *)(rig.reply->payload + VGPU_RSP_BYTES_FunctionInfo);
    static const uint16_t want[] = {0, 8, 8, 4, 12, 4};
    assert_int_equal(rig.reply->size, VGPU_RSP_BYTES_FunctionInfo + sizeof(want));
    assert_memory_equal(pairs, want, sizeof(want));
}

static void parameters_that_are_too_short_are_never_read(void **state)
{
    uint32_t fill = rig_function(rig_module(), "fill");
    uint8_t none[16] = {0};

    for (uint32_t bytes = 0; bytes < 16; bytes++) {
        SEND(Launch, none, bytes, .function = fill, .grid = {1, 1, 1}, .block = {1, 1, 1});
        assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_VALUE);
        rig.worker.deferred_error = CUDA_SUCCESS;
    }
    SEND(Launch, none, 16, .function = fill, .grid = {1, 1, 1}, .block = {1, 1, 1});
    assert_int_equal(CALL(CtxSynchronize, NULL, 0, .record = {0}), CUDA_SUCCESS);
}

static void bad_launches_are_refused(void **state)
{
    uint32_t nothing = rig_function(rig_module(), "nothing");
    static const uint32_t shapes[][7] = {
        {0, 1, 1, 1, 1, 1, 0},        {1, 1, 1, 0, 1, 1, 0},          {1, 1, 1, 1025, 1, 1, 0},
        {1, 1, 1, 64, 64, 1, 0},      {UINT32_MAX, 1, 1, 1, 1, 1, 0}, {1, 70000, 1, 1, 1, 1, 0},
        {1, 1, 1, 1, 1, 1, 1u << 30},
    };

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const uint32_t *s = shapes[i];
        SEND(Launch, NULL, 0, .function = nothing, .grid = {s[0], s[1], s[2]},
             .block = {s[3], s[4], s[5]}, .shared = s[6]);
        assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_VALUE);
        rig.worker.deferred_error = CUDA_SUCCESS;
    }
    rig.context = 0;
    SEND(Launch, NULL, 0, .function = nothing, .grid = {1, 1, 1}, .block = {1, 1, 1});
    assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_CONTEXT);
}

static void launch_attributes_are_chosen(void **state)
{
    uint32_t nothing = rig_function(rig_module(), "nothing");
    struct vgpu_launch_attribute list[33] = {{.id = CU_LAUNCH_ATTRIBUTE_IGNORE}};
    static const uint32_t refused[] = {
        CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW,
        CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT,
        CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT,
        CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE,
        1000,
    };

    SEND(Launch, list, sizeof(list[0]), .function = nothing, .grid = {1, 1, 1}, .block = {1, 1, 1},
         .attribute_count = 1);
    assert_int_equal(rig.worker.deferred_error, CUDA_SUCCESS);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        list[1].id = refused[i];
        SEND(Launch, list, 2 * sizeof(list[0]), .function = nothing, .grid = {1, 1, 1},
             .block = {1, 1, 1}, .attribute_count = 2);
        assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_NOT_SUPPORTED);
        rig.worker.deferred_error = CUDA_SUCCESS;
    }
    list[1].id = 0;
    SEND(Launch, list, sizeof(list), .function = nothing, .grid = {1, 1, 1}, .block = {1, 1, 1},
         .attribute_count = 33);
    assert_int_equal(rig.worker.deferred_error, CUDA_ERROR_INVALID_VALUE);
    SEND(Launch, list, sizeof(list[0]) - 1, .function = nothing, .grid = {1, 1, 1},
         .block = {1, 1, 1}, .attribute_count = 1);
    assert_non_null(rig.worker.violation);
    rig.worker.violation = NULL;
    SEND(Launch, list, sizeof(list[0]), .function = nothing, .grid = {1, 1, 1}, .block = {1, 1, 1},
         .attribute_count = UINT32_MAX);
    assert_non_null(rig.worker.violation);
}

static void occupancy_is_answered(void **state)
{
    uint32_t fill = rig_function(rig_module(), "fill");

    assert_int_equal(CALL(OccupancyMaxActiveBlocks, NULL, 0, .function = fill, .block_size = 128),
                     CUDA_SUCCESS);
    assert_true(ANSWER(OccupancyMaxActiveBlocks)->blocks > 0);
    assert_int_equal(CALL(OccupancyMaxActiveClusters, NULL, 0, .function = fill, .grid = {1, 1, 1},
                          .block = {1, 1, 1}, .attribute_count = 1),
                     CUDA_ERROR_INVALID_VALUE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_context, rig_finish)
    const struct CMUnitTest tests[] = {
        TEST(ptx_becomes_a_module_with_functions_and_variables),
        TEST(variables_can_be_copied_to_until_their_module_goes),
        TEST(functions_go_with_their_module),
        TEST(logs_come_back_from_good_and_bad_images),
        TEST(only_options_without_pointers_reach_the_driver),
        TEST(a_wrapper_with_a_pointer_is_no_image),
        TEST(images_of_noise_are_refused),
        TEST(blobs_are_bounded),
        TEST(libraries_serve_kernels_in_every_context),
        TEST(function_info_gives_the_parameter_layout),
        TEST(parameters_that_are_too_short_are_never_read),
        TEST(bad_launches_are_refused),
        TEST(launch_attributes_are_chosen),
        TEST(occupancy_is_answered),
    };
    return cmocka_run_group_tests(tests, rig_start, NULL);
}
