/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvml_test.c - the guest's libnvidia-ml.so.1 as a program finds it: by name, through vgpu-run
 *
 *   nvml_test NAMES [host]
 *
 * With "host", the mediator's host has the NVML of host_nvml.c; else it has none.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest/libnvml/nvml_abi.h"
#include "protocol/cuda_abi.h"
#include "protocol/vgpu_nvml.h"
#include "tests/unit/nvml/host_nvml.h"

#define ALLOCATED (64ull << 20)

/* The transport keeps a closed client's reply pool for the next one; unloading forgets it. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:vgpu_replies_create";
}

static void *library, *cuda;
static bool with_host;
static const char *names_path;

static void *find(void *from, const char *name)
{
    void *address = dlsym(from, name);

    if (!address)
        fail_msg("%s is missing", name);
    return address;
}

/* Calls an NVML function; the arguments' types are the caller's business, as for dlsym(). */
#define NVML(name, ...) ((nvmlReturn_t(*)(SIGNATURE(__VA_ARGS__)))find(library, #name))(__VA_ARGS__)
#define TYPE(x) __typeof__(((void)0, x)) /* arrays become pointers */
#define SIGNATURE(...) SIGNATURE_PICK(__VA_ARGS__, 5, 4, 3, 2, 1)(__VA_ARGS__)
#define SIGNATURE_PICK(a, b, c, d, e, n, ...) SIGNATURE_NAME(n)
#define SIGNATURE_NAME(n) SIGNATURE_##n
#define SIGNATURE_1(a) TYPE(a)
#define SIGNATURE_2(a, b) TYPE(a), TYPE(b)
#define SIGNATURE_3(a, b, c) TYPE(a), TYPE(b), TYPE(c)
#define SIGNATURE_4(a, b, c, d) TYPE(a), TYPE(b), TYPE(c), TYPE(d)
#define SIGNATURE_5(a, b, c, d, e) TYPE(a), TYPE(b), TYPE(c), TYPE(d), TYPE(e)
#define NVML0(name) ((nvmlReturn_t(*)(void))find(library, #name))()
#define OK(call) assert_int_equal((call), NVML_SUCCESS)
#define CUDA(name, ...) ((__typeof__(&name))find(cuda, #name))(__VA_ARGS__)
#define CUDA_OK(call) assert_int_equal((call), CUDA_SUCCESS)

static nvmlDevice_t gpu(void)
{
    nvmlDevice_t device = NULL;

    OK(NVML(nvmlDeviceGetHandleByIndex_v2, 0u, &device));
    return device;
}

static int setup(void **state)
{
    return NVML0(nvmlInit_v2) == NVML_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    return NVML0(nvmlShutdown) == NVML_SUCCESS ? 0 : -1;
}

/* What the host's NVML would say: the value with one, a refusal without. */
static void expect_reading(nvmlReturn_t result, uint64_t value, uint64_t expected)
{
    assert_int_equal(result, with_host ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED);
    if (with_host)
        assert_int_equal(value, expected);
}

static void every_name_exists_and_refuses_before_nvmlInit(void **state)
{
    FILE *file = fopen(names_path, "r");
    char name[128];
    unsigned count = 0, value;

    assert_non_null(file);
    while (fscanf(file, "%127s", name) == 1) {
        find(library, name);
        count++;
    }
    fclose(file);
    assert_true(count > 300);
    assert_int_equal(NVML(nvmlDeviceGetCount_v2, &value), NVML_ERROR_UNINITIALIZED);
    assert_int_equal(NVML0(nvmlShutdown), NVML_ERROR_UNINITIALIZED);
    assert_int_equal(NVML0(nvmlDeviceGetFanSpeed), NVML_ERROR_UNINITIALIZED);
    OK(NVML0(nvmlInit));
    OK(NVML(nvmlInitWithFlags, 0u));
    OK(NVML0(nvmlShutdown));
    OK(NVML(nvmlDeviceGetCount, &value));
    assert_int_equal(NVML0(nvmlDeviceGetFanSpeed), NVML_ERROR_NOT_SUPPORTED);
    OK(NVML0(nvmlShutdown));
    assert_int_equal(NVML(nvmlDeviceGetCount, &value), NVML_ERROR_UNINITIALIZED);
}

static void the_gpu_is_the_one_that_cuda_sees(void **state)
{
    char text[128], cuda_name[128], number[64], legacy[64];
    unsigned count, value;
    int version, cuda_version, major, minor, attribute;
    nvmlDevice_t device = gpu(), other;
    nvml_pci_v3 pci;
    nvml_pci_v2 pci2;
    nvml_pci_v1 pci1;
    CUuuid uuid;
    CUdevice d;

    CUDA_OK(CUDA(cuInit, 0));
    CUDA_OK(CUDA(cuDeviceGet, &d, 0));
    CUDA_OK(CUDA(cuDeviceGetCount, &attribute));
    OK(NVML(nvmlDeviceGetCount_v2, &count));
    assert_int_equal(count, attribute);

    CUDA_OK(CUDA(cuDeviceGetName, cuda_name, sizeof(cuda_name), d));
    OK(NVML(nvmlDeviceGetName, device, text, (unsigned)sizeof(text)));
    assert_string_equal(text, cuda_name);
    assert_int_equal(NVML(nvmlDeviceGetName, device, (char *)text, 3u),
                     NVML_ERROR_INSUFFICIENT_SIZE);

    CUDA_OK(CUDA(cuDeviceGetUuid, &uuid, d));
    OK(NVML(nvmlDeviceGetUUID, device, text, (unsigned)sizeof(text)));
    assert_int_equal(strlen(text), 40);
    snprintf(number, sizeof(number), "GPU-%02x%02x%02x%02x-", (unsigned char)uuid.bytes[0],
             (unsigned char)uuid.bytes[1], (unsigned char)uuid.bytes[2],
             (unsigned char)uuid.bytes[3]);
    assert_memory_equal(text, number, strlen(number));
    OK(NVML(nvmlDeviceGetHandleByUUID, (const char *)text, &other));
    assert_ptr_equal(other, device);
    text[39] ^= 1;
    assert_int_equal(NVML(nvmlDeviceGetHandleByUUID, (const char *)text, &other),
                     NVML_ERROR_NOT_FOUND);

    CUDA_OK(CUDA(cuDriverGetVersion, &cuda_version));
    OK(NVML(nvmlSystemGetCudaDriverVersion, &version));
    assert_int_equal(version, cuda_version);
    OK(NVML(nvmlSystemGetCudaDriverVersion_v2, &version));
    assert_int_equal(version, cuda_version);

    OK(NVML(nvmlDeviceGetCudaComputeCapability, device, &major, &minor));
    CUDA_OK(
        CUDA(cuDeviceGetAttribute, &attribute, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, d));
    assert_int_equal(major, attribute);
    CUDA_OK(
        CUDA(cuDeviceGetAttribute, &attribute, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, d));
    assert_int_equal(minor, attribute);

    OK(NVML(nvmlDeviceGetIndex, device, &value));
    assert_int_equal(value, 0);
    OK(NVML(nvmlDeviceGetMinorNumber, device, &value));
    assert_int_equal(value, 0);

    memset(&pci2, 0x77, sizeof(pci2));
    OK(NVML(nvmlDeviceGetPciInfo_v3, device, &pci));
    OK(NVML(nvmlDeviceGetPciInfo_v2, device, &pci2));
    OK(NVML(nvmlDeviceGetPciInfo, device, &pci1));
    CUDA_OK(CUDA(cuDeviceGetAttribute, &attribute, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, d));
    assert_int_equal(pci.bus, attribute);
    snprintf(number, sizeof(number), "%08X:%02X:%02X.0", pci.domain, pci.bus, pci.device);
    snprintf(legacy, sizeof(legacy), "%04X:%02X:%02X.0", pci.domain, pci.bus, pci.device);
    assert_string_equal(pci.busId, number);
    assert_string_equal(pci.busIdLegacy, legacy);
    assert_string_equal(pci2.busId, legacy);
    assert_string_equal(pci1.busId, legacy);
    assert_int_equal(pci.pciDeviceId, with_host ? HOST_PCI_ID : 0);
    assert_int_equal(pci2.pciSubSystemId, with_host ? HOST_PCI_SUBSYSTEM : 0);
    OK(NVML(nvmlDeviceGetHandleByPciBusId_v2, (const char *)number, &other));
    assert_ptr_equal(other, device);
    OK(NVML(nvmlDeviceGetHandleByPciBusId, (const char *)legacy, &other));
    assert_ptr_equal(other, device);
    assert_int_equal(NVML(nvmlDeviceGetHandleByPciBusId_v2, "00000000:FE:1F.0", &other),
                     NVML_ERROR_NOT_FOUND);
    assert_int_equal(NVML(nvmlDeviceGetHandleByPciBusId_v2, "nonsense", &other),
                     NVML_ERROR_INVALID_ARGUMENT);
}

static void a_wrong_handle_or_pointer_is_refused(void **state)
{
    nvmlDevice_t wrong = (nvmlDevice_t)(uintptr_t)0x1234, other;
    unsigned value;

    assert_int_equal(NVML(nvmlDeviceGetHandleByIndex_v2, 99u, &other), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(NVML(nvmlDeviceGetIndex, wrong, &value), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(NVML(nvmlDeviceGetPowerUsage, wrong, &value), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(NVML(nvmlDeviceGetIndex, gpu(), (unsigned *)NULL),
                     NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(NVML(nvmlDeviceGetTemperature, gpu(), 256u, &value),
                     NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(NVML(nvmlDeviceGetCount_v2, (unsigned *)NULL), NVML_ERROR_INVALID_ARGUMENT);
}

static void readings_are_the_hosts_or_not_supported(void **state)
{
    nvmlDevice_t device = gpu(), other;
    unsigned value = 0, second = 9;
    unsigned long long large = 0;
    char text[96] = "";
    nvmlReturn_t result;
    nvml_temperature temperature = {NVML_VERSION_OF(temperature, 1), 0, 0};
    nvml_pci_ext pci = {.version = NVML_VERSION_OF(pci, 1)};
    nvml_bar1 bar1 = {0};

    result = NVML(nvmlDeviceGetPowerUsage, device, &value);
    expect_reading(result, value, HOST_POWER);
    result = NVML(nvmlDeviceGetTemperature, device, 0u, &value);
    expect_reading(result, value, HOST_TEMPERATURE);
    result = NVML(nvmlDeviceGetTemperatureV, device, &temperature);
    expect_reading(result, (unsigned)temperature.temperature, HOST_TEMPERATURE);
    temperature.version++;
    assert_int_equal(NVML(nvmlDeviceGetTemperatureV, device, &temperature),
                     NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    for (unsigned type = 0; type < NVML_CLOCK_TYPES; type++) {
        result = NVML(nvmlDeviceGetClockInfo, device, type, &value);
        expect_reading(result, value, HOST_CLOCK + type);
        result = NVML(nvmlDeviceGetClock, device, type, 3u, &value);
        expect_reading(result, value, HOST_CLOCK + type * 10 + 3);
    }
    result = NVML(nvmlDeviceGetEccMode, device, &value, &second);
    expect_reading(result, value, 1);
    expect_reading(result, second, 0);
    result = NVML(nvmlDeviceGetTotalEnergyConsumption, device, &large);
    expect_reading(result, large, HOST_ENERGY);
    result = NVML(nvmlDeviceGetTotalEccErrors, device, 1u, 0u, &large);
    expect_reading(result, large, HOST_ENERGY + 10);
    result = NVML(nvmlDeviceGetMemoryErrorCounter, device, 1u, 0u, 2u, &large);
    expect_reading(result, large, HOST_ENERGY + 102);
    result = NVML(nvmlDeviceGetPciInfoExt, device, &pci);
    expect_reading(result, pci.baseClass << 8 | pci.subClass, 0x302);
    expect_reading(result, pci.pciDeviceId, HOST_PCI_ID);
    result = NVML(nvmlDeviceGetBAR1MemoryInfo, device, &bar1);
    expect_reading(result, bar1.bar1Total * 100 + bar1.bar1Free * 10 + bar1.bar1Used, 321);

    result = NVML(nvmlDeviceGetSerial, device, text, (unsigned)sizeof(text));
    expect_reading(result, (uint64_t)!strcmp(text, HOST_SERIAL), 1);
    result = NVML(nvmlDeviceGetHandleBySerial, (const char *)HOST_SERIAL, &other);
    assert_int_equal(result, with_host ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND);
    result = NVML(nvmlDeviceGetInforomVersion, device, 2u, text, (unsigned)sizeof(text));
    expect_reading(result, (uint64_t)!strcmp(text, "2.0"), 1);
    result = NVML(nvmlSystemGetDriverVersion, text, (unsigned)sizeof(text));
    expect_reading(result, (uint64_t)!strcmp(text, HOST_DRIVER_VERSION), 1);
    OK(NVML(nvmlSystemGetNVMLVersion, text, (unsigned)sizeof(text)));
    assert_true(text[0] != 0 && (!with_host || !strcmp(text, HOST_NVML_VERSION)));

    /* The host's library has no such call. */
    assert_int_equal(NVML(nvmlDeviceGetBoardId, device, &value), NVML_ERROR_NOT_SUPPORTED);
}

static void fields_are_served_one_by_one(void **state)
{
    nvml_field fields[3] = {{.fieldId = 186, .scopeId = 1}, {.fieldId = 5}, {.fieldId = 82}};
    nvmlReturn_t board = with_host ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;

    OK(NVML(nvmlDeviceGetFieldValues, gpu(), 3, (nvml_field *)fields));
    assert_int_equal(fields[0].nvmlReturn, board);
    assert_int_equal(fields[1].nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(fields[2].nvmlReturn, board);
    if (with_host) {
        assert_int_equal(fields[0].value, 186001);
        assert_int_equal(fields[0].valueType, 1);
        assert_int_equal(fields[2].value, 82000);
    }
    assert_true(fields[0].timestamp > 0);
    assert_int_equal(NVML(nvmlDeviceGetFieldValues, gpu(), 0, (nvml_field *)fields),
                     NVML_ERROR_INVALID_ARGUMENT);
}

/* ---- this VM's use ---- */

static CUcontext context;
static CUdeviceptr memory;

static void use_the_gpu(void)
{
    CUdevice d;

    CUDA_OK(CUDA(cuInit, 0));
    CUDA_OK(CUDA(cuDeviceGet, &d, 0));
    CUDA_OK(((CUresult(*)(CUcontext *, unsigned, CUdevice))find(cuda, "cuCtxCreate_v2"))(&context,
                                                                                         0, d));
    CUDA_OK(((CUresult(*)(CUdeviceptr *, size_t))find(cuda, "cuMemAlloc_v2"))(&memory, ALLOCATED));
}

static void leave_the_gpu(void)
{
    CUDA_OK(((CUresult(*)(CUdeviceptr))find(cuda, "cuMemFree_v2"))(memory));
    CUDA_OK(((CUresult(*)(CUcontext))find(cuda, "cuCtxDestroy_v2"))(context));
}

static void only_processes_with_a_context_are_listed_and_only_this_vms(void **state)
{
    nvmlDevice_t device = gpu();
    nvml_process_v2 infos[4];
    nvml_process_v1 old[4];
    nvml_process_detail details[4];
    nvml_process_list list = {NVML_VERSION_OF(list, 1), 0, 4, details};
    unsigned count = 4;
    char name[256];

    /* Asking is no use of the GPU. */
    OK(NVML(nvmlDeviceGetComputeRunningProcesses_v3, device, &count, (nvml_process_v2 *)infos));
    assert_int_equal(count, 0);
    use_the_gpu();
    count = 0;
    assert_int_equal(
        NVML(nvmlDeviceGetComputeRunningProcesses_v3, device, &count, (nvml_process_v2 *)NULL),
        NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(count, 1);
    count = 4;
    OK(NVML(nvmlDeviceGetComputeRunningProcesses_v3, device, &count, (nvml_process_v2 *)infos));
    assert_int_equal(count, 1);
    assert_int_equal(infos[0].pid, getpid());
    assert_true(infos[0].usedGpuMemory >= ALLOCATED && infos[0].usedGpuMemory < 2 * ALLOCATED);
    assert_int_equal(infos[0].gpuInstanceId, NVML_NO_INSTANCE);
    count = 4;
    OK(NVML(nvmlDeviceGetComputeRunningProcesses_v2, device, &count, (nvml_process_v2 *)infos));
    assert_int_equal(count, 1);
    count = 4;
    OK(NVML(nvmlDeviceGetComputeRunningProcesses, device, &count, (nvml_process_v1 *)old));
    assert_int_equal(count, 1);
    assert_int_equal(old[0].pid, getpid());
    assert_int_equal(old[0].usedGpuMemory, infos[0].usedGpuMemory);
    OK(NVML(nvmlDeviceGetRunningProcessDetailList, device, &list));
    assert_int_equal(list.numProcArrayEntries, 1);
    assert_int_equal(details[0].pid, getpid());
    OK(NVML(nvmlSystemGetProcessName, (unsigned)getpid(), name, (unsigned)sizeof(name)));
    assert_non_null(strstr(name, "nvml_test"));
    assert_int_equal(NVML(nvmlSystemGetProcessName, 0x7ffffff0u, name, (unsigned)sizeof(name)),
                     NVML_ERROR_NOT_FOUND);
    leave_the_gpu();
    count = 4;
    OK(NVML(nvmlDeviceGetComputeRunningProcesses_v3, device, &count, (nvml_process_v2 *)infos));
    assert_int_equal(count, 0);

    static const char *const others[] = {
        "nvmlDeviceGetGraphicsRunningProcesses",      "nvmlDeviceGetGraphicsRunningProcesses_v2",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",   "nvmlDeviceGetMPSComputeRunningProcesses",
        "nvmlDeviceGetMPSComputeRunningProcesses_v2", "nvmlDeviceGetMPSComputeRunningProcesses_v3"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        count = 4;
        OK(((nvmlReturn_t(*)(nvmlDevice_t, unsigned *, void *))find(library, others[i]))(
            device, &count, infos));
        assert_int_equal(count, 0);
    }
}

static void memory_adds_up(void **state)
{
    nvmlDevice_t device = gpu();
    nvml_memory before, after;
    nvml_memory_v2 m = {.version = NVML_VERSION_OF(m, 2)};

    OK(NVML(nvmlDeviceGetMemoryInfo, device, &before));
    use_the_gpu();
    OK(NVML(nvmlDeviceGetMemoryInfo, device, &after));
    OK(NVML(nvmlDeviceGetMemoryInfo_v2, device, &m));
    assert_int_equal(after.total, after.free + after.used);
    assert_int_equal(m.total, m.free + m.used + m.reserved);
    assert_int_equal(m.total, after.total);
    if (with_host) {
        assert_int_equal(m.total, HOST_TOTAL);
        assert_int_equal(m.used, HOST_USED);
        assert_int_equal(m.reserved, HOST_RESERVED);
        assert_int_equal(after.used, HOST_USED + HOST_RESERVED);
    } else {
        assert_true(after.used >= before.used + ALLOCATED);
    }
    m.version = 0;
    assert_int_equal(NVML(nvmlDeviceGetMemoryInfo_v2, device, &m),
                     NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    leave_the_gpu();
}

static void an_idle_vm_is_not_busy(void **state)
{
    nvml_utilization rates = {77, 77};

    OK(NVML(nvmlDeviceGetUtilizationRates, gpu(), &rates));
    assert_int_equal(rates.gpu, 0);
    assert_int_equal(rates.memory, 0);
}

static void what_a_vm_lacks_is_said_to_be_off(void **state)
{
    nvmlDevice_t device = gpu();
    unsigned value = 9, second = 9;
    unsigned long set[2] = {0};
    unsigned long long types = 9;

    OK(NVML(nvmlDeviceGetMigMode, device, &value, &second));
    assert_int_equal(value | second, 0);
    OK(NVML(nvmlDeviceIsMigDeviceHandle, device, &value));
    assert_int_equal(value, 0);
    OK(NVML(nvmlDeviceGetMaxMigDeviceCount, device, &value));
    assert_int_equal(value, 0);
    OK(NVML(nvmlDeviceGetAccountingMode, device, &value));
    assert_int_equal(value, 0);
    OK(NVML(nvmlDeviceGetVirtualizationMode, device, &value));
    assert_int_equal(value, 0);
    OK(NVML(nvmlUnitGetCount, &value));
    assert_int_equal(value, 0);
    OK(NVML(nvmlDeviceGetSupportedEventTypes, device, &types));
    assert_int_equal(types, 0);
    OK(NVML(nvmlDeviceGetTopologyCommonAncestor, device, device, &value));
    assert_int_equal(value, 0);
    OK(NVML(nvmlDeviceGetCpuAffinity, device, 2u, (unsigned long *)set));
    assert_true(set[0] & 1);
    static const char *const refused[] = {
        "nvmlDeviceGetFanSpeed", "nvmlDeviceGetRetiredPages", "nvmlDeviceSetPowerManagementLimit",
        "nvmlDeviceGetEncoderUtilization", "nvmlDeviceSetComputeMode"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(
            ((nvmlReturn_t(*)(nvmlDevice_t, unsigned *))find(library, refused[i]))(device, &value),
            NVML_ERROR_NOT_SUPPORTED);
}

static void the_private_table_gives_handles_and_named_processes(void **state)
{
    static const uint8_t id[16] = {0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e,
                                   0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4};
    static const uint8_t other_id[16] = {1};
    static uint8_t list[2][4128];
    const uintptr_t *table;
    const void *got;
    nvmlDevice_t device = NULL;
    unsigned count = 2, pid;

    assert_int_equal(NVML(nvmlInternalGetExportTable, &got, (const void *)other_id),
                     NVML_ERROR_NOT_SUPPORTED);
    OK(NVML(nvmlInternalGetExportTable, &got, (const void *)id));
    table = got;
    for (size_t i = 1; i < table[0] / sizeof(table[0]); i++)
        assert_true(table[i] != 0);
    OK(((nvmlReturn_t(*)(unsigned, nvmlDevice_t *, unsigned))table[81])(0, &device, 0x22));
    assert_ptr_equal(device, gpu());
    OK(((nvmlReturn_t(*)(nvmlDevice_t, unsigned *))table[72])(device, &pid));
    assert_int_equal(pid, 1);
    assert_int_equal(((nvmlReturn_t(*)(nvmlDevice_t, void *))table[100])(device, &count),
                     NVML_ERROR_NOT_SUPPORTED);
    use_the_gpu();
    OK(((nvmlReturn_t(*)(nvmlDevice_t, unsigned *, void *))table[213])(device, &count, list));
    assert_int_equal(count, 1);
    memcpy(&pid, list[0], sizeof(pid));
    assert_int_equal(pid, getpid());
    assert_non_null(strstr((char *)list[0] + 32, "nvml_test"));
    count = 2;
    OK(((nvmlReturn_t(*)(nvmlDevice_t, unsigned *, void *))table[214])(device, &count, list));
    assert_int_equal(count, 0);
    leave_the_gpu();
}

static void a_set_of_events_stays_empty(void **state)
{
    void *set = NULL, *wrong = (char[16]){0};
    char data[64];

    assert_int_equal(NVML(nvmlEventSetCreate, (void **)NULL), NVML_ERROR_INVALID_ARGUMENT);
    OK(NVML(nvmlEventSetCreate, &set));
    assert_int_equal(NVML(nvmlDeviceRegisterEvents, gpu(), 8ull, set), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(NVML(nvmlEventSetWait_v2, set, (void *)data, 1u), NVML_ERROR_TIMEOUT);
    assert_int_equal(NVML(nvmlEventSetWait, set, (void *)data, 0u), NVML_ERROR_TIMEOUT);
    assert_int_equal(NVML(nvmlEventSetFree, wrong), NVML_ERROR_INVALID_ARGUMENT);
    OK(NVML(nvmlEventSetFree, set));
}

static void a_child_goes_on_after_fork(void **state)
{
    nvml_memory m;
    int status;

    OK(NVML(nvmlDeviceGetMemoryInfo, gpu(), &m));
    pid_t pid = fork();
    if (pid == 0)
        _exit(NVML(nvmlDeviceGetMemoryInfo, gpu(), &m) != NVML_SUCCESS);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    OK(NVML(nvmlDeviceGetMemoryInfo, gpu(), &m));
}

/* The channel is gone by then: its descriptors are. */
static void an_idle_channel_is_given_back_and_comes_back(void **state)
{
    nvml_memory m;
    char path[64];
    int before = 0, after = 0;

    OK(NVML(nvmlDeviceGetMemoryInfo, gpu(), &m));
    for (int fd = 3; fd < 256; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        before += access(path, F_OK) == 0;
    }
    for (int i = 0; i < 100; i++) {
        after = 0;
        for (int fd = 3; fd < 256; fd++) {
            snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
            after += access(path, F_OK) == 0;
        }
        if (after < before)
            break;
        usleep(100000);
    }
    assert_true(after < before);
    OK(NVML(nvmlDeviceGetMemoryInfo, gpu(), &m));
}

static void the_library_can_be_unloaded(void **state)
{
    nvml_memory m;

    OK(NVML0(nvmlInit_v2));
    OK(NVML(nvmlDeviceGetMemoryInfo, gpu(), &m));
    assert_int_equal(dlclose(library), 0);
    library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    assert_non_null(library);
    assert_int_equal(NVML0(nvmlShutdown), NVML_ERROR_UNINITIALIZED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        cmocka_unit_test(every_name_exists_and_refuses_before_nvmlInit),
        TEST(the_gpu_is_the_one_that_cuda_sees),
        TEST(a_wrong_handle_or_pointer_is_refused),
        TEST(readings_are_the_hosts_or_not_supported),
        TEST(fields_are_served_one_by_one),
        TEST(only_processes_with_a_context_are_listed_and_only_this_vms),
        TEST(memory_adds_up),
        TEST(an_idle_vm_is_not_busy),
        TEST(what_a_vm_lacks_is_said_to_be_off),
        TEST(the_private_table_gives_handles_and_named_processes),
        TEST(a_set_of_events_stays_empty),
        TEST(a_child_goes_on_after_fork),
        TEST(an_idle_channel_is_given_back_and_comes_back),
        cmocka_unit_test(the_library_can_be_unloaded),
    };

    if (argc < 2) {
        fprintf(stderr, "usage: nvml_test NAMES [host]\n");
        return 2;
    }
    names_path = argv[1];
    with_host = argc > 2 && !strcmp(argv[2], "host");
    library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    cuda = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library || !cuda) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
