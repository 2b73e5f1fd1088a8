/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: if these fail, an operator's mistake passes silently or with a useless message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "mediator/daemon/config.h"

static char directory[] = "/tmp/vgpu-config-XXXXXX";

static int setup(void **state)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

static const char *put(const char *name, const char *text)
{
    static char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void a_missing_file_gives_the_defaults(void **state)
{
    static struct config config;
    char error[CONFIG_ERROR] = "";

    assert_int_equal(config_load("/nonexistent/mediatord.conf", &config, error), 0);
    assert_true(config.quantum_ns == 10000000);
    assert_int_equal(config.spare_workers, 1);
    assert_int_equal(config.limits.channels, 64);
    assert_true(config.local_count >= 1);
}

static void every_key_is_read(void **state)
{
    static struct config c;
    char error[CONFIG_ERROR] = "";
    const char *path =
        put("mediatord.conf",
            "{\"gpu\": \"soft\", \"driver\": \"/d\", \"worker\": \"/w\", \"quantum_ms\": 3,"
            "\"spare_workers\": 2, \"stop_grace_ms\": 4, \"start_timeout_ms\": 500,"
            "\"max_workers\": 9, \"worker_uid_base\": 70000, \"worker_uid_count\": 8,"
            "\"cgroup\": \"off\", \"measure_gpu_time\": false, \"log_level\": \"debug\","
            "\"limits\": {\"channels\": 5, \"arena_mb\": 6, \"device_memory_mb\": 7,"
            "\"memory_mb\": 8, \"cpu_percent\": 50, \"weight\": 300, \"gpu_percent\": 25,"
            "\"gpu_burst_ms\": 30, \"submissions_per_s\": 1000, \"submission_burst\": 40,"
            "\"watchdog_ms\": 2000, \"quarantine_faults\": 3, \"quarantine_s\": 90},"
            "\"scheduler\": {\"policy\": \"rr\", \"quantum_min_us\": 500, \"grace_us\": 50,"
            "\"aging_ms\": 700, \"in_flight_us\": 800, \"in_flight_urgent_us\": 90, \"weights\": "
            "{\"low\": 1, \"high\": 9},"
            "\"pools\": {\"B\": 250}},"
            "\"local\": [{\"uid\": 1234, \"name\": \"ci\", \"vm_id\": 77, \"pool\": \"B\","
            "\"priority\": \"high\", \"limits\": {\"channels\": 1}}]}");

    assert_int_equal(config_load(path, &c, error), 0);
    assert_int_equal(c.gpu, CONFIG_GPU_SOFT);
    assert_string_equal(c.driver, "/d");
    assert_string_equal(c.worker, "/w");
    assert_true(c.quantum_ns == 3000000 && c.stop_grace_ns == 4000000);
    assert_true(c.start_timeout_ns == 500000000);
    assert_int_equal(c.spare_workers, 2);
    assert_int_equal(c.max_workers, 9);
    assert_int_equal(c.worker_uid_base, 70000);
    assert_int_equal(c.worker_uid_count, 8);
    assert_string_equal(c.cgroup, "off");
    assert_false(c.measure);
    assert_int_equal(c.log_level, 3);
    assert_true(c.limits.arena == 6ull << 20 && c.limits.device_memory == 7ull << 20);
    assert_true(c.limits.memory == 8ull << 20 && c.limits.cpu_percent == 50);
    assert_true(c.limits.weight == 300 && c.limits.gpu_percent == 25);
    assert_true(c.limits.gpu_burst == 30000000 && c.limits.submissions == 1000);
    assert_true(c.limits.submission_burst == 40 && c.limits.watchdog == 2000000000);
    assert_true(c.limits.quarantine_faults == 3 && c.limits.quarantine == 90000000000);
    assert_int_equal(c.scheduler.policy, SCHED_RR);
    assert_true(c.scheduler.quantum_ns == 3000000 && c.scheduler.quantum_min_ns == 500000);
    assert_true(c.scheduler.grace_ns == 50000 && c.scheduler.aging_ns == 700000000);
    assert_true(c.scheduler.in_flight_ns == 800000);
    assert_true(c.scheduler.in_flight_urgent_ns == 90000);
    assert_true(c.weights[0] == 1 && c.weights[1] == 400 && c.weights[2] == 9);
    assert_true(c.pools[0] == 100 && c.pools[1] == 250);
    assert_int_equal(c.local_count, 1);
    assert_int_equal(c.locals[0].uid, 1234);
    assert_string_equal(c.locals[0].identity.name, "ci");
    assert_int_equal(c.locals[0].identity.vm_id, 77);
    assert_int_equal(c.locals[0].identity.pool, 'B');
    assert_int_equal(c.locals[0].identity.priority, 2);
    assert_int_equal(c.locals[0].identity.limits.channels, 1);
    assert_true(c.locals[0].identity.limits.arena == 6ull << 20);
}

/* Wrong text, and what the one line must say about it. */
static const struct {
    const char *text, *says;
} bad[] = {
    {"", ":1: "},
    {"{\n\"gpu\": \"soft\",\n}", ":3: "},
    {"{\"gpu\": \"soft\", \"gpu\": \"auto\"}", "duplicate"},
    {"[]", "one JSON object"},
    {"{\"quantum\": 5}", "unknown key \"quantum\"; known are: gpu driver"},
    {"{\"ms\": 5}", "unknown key \"ms\""},
    {"{\"gpu\": \"amd\"}", "key \"gpu\": must be \"auto\", \"nvidia\" or \"soft\""},
    {"{\"gpu\": 3}", "key \"gpu\": must be a string"},
    {"{\"driver\": \"relative.so\"}", "key \"driver\": must be an absolute path"},
    {"{\"quantum_ms\": 0}", "key \"quantum_ms\": must be a whole number from 1 to 1000"},
    {"{\"quantum_ms\": 2.5}", "whole number"},
    {"{\"quantum_ms\": -1}", "whole number"},
    {"{\"max_workers\": 99999999999999}", "from 1 to 4096"},
    {"{\"cgroup\": \"yes\"}", "key \"cgroup\": must be"},
    {"{\"measure_gpu_time\": 1}", "must be true or false"},
    {"{\"log_level\": \"loud\"}", "key \"log_level\": must be"},
    {"{\"limits\": 5}", "key \"limits\": must be an object"},
    {"{\"limits\": {\"channels\": 65}}", "key \"channels\": must be a whole number from 1 to 64"},
    {"{\"limits\": {\"arena\": 65}}", "unknown key \"limits.arena\""},
    {"{\"limits\": {\"gpu_percent\": 101}}", "whole number from 0 to 100"},
    {"{\"limits\": {\"quarantine_s\": 0}}", "key \"quarantine_s\""},
    {"{\"scheduler\": []}", "key \"scheduler\": must be an object"},
    {"{\"scheduler\": {\"quantum\": 1}}", "unknown key \"scheduler.quantum\""},
    {"{\"scheduler\": {\"policy\": \"lottery\"}}", "must be \"fair\" or \"rr\""},
    {"{\"scheduler\": {\"weights\": {\"low\": 0}}}", "key \"low\""},
    {"{\"scheduler\": {\"weights\": {\"urgent\": 5}}}", "unknown key \"weights.urgent\""},
    {"{\"scheduler\": {\"pools\": {\"a\": 5}}}", "unknown key \"pools.a\""},
    {"{\"local\": [{\"uid\": 1, \"socket\": \"a/b\"}]}", "key \"socket\""},
    {"{\"local\": [{\"uid\": 1, \"socket\": \"control.sock\"}]}", "key \"socket\""},
    {"{\"local\": [{\"uid\": 1, \"socket\": \"x\"}, {\"uid\": 1, \"socket\": \"x\"}]}", "twice"},
    {"{\"local\": {}}", "key \"local\": must be an array"},
    {"{\"local\": [{}]}", "entry 1 must be an object with a \"uid\""},
    {"{\"local\": [{\"uid\": 1}, {\"uid\": 1}]}", "uid 1 is given twice"},
    {"{\"local\": [{\"uid\": 1, \"pool\": \"a\"}]}", "one letter, \"A\" to \"Z\""},
    {"{\"local\": [{\"uid\": 1, \"name\": \"../x\"}]}", "key \"name\": must be 1 to 39"},
};

static void a_mistake_is_one_line_that_says_what_to_do(void **state)
{
    static struct config config;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char error[CONFIG_ERROR] = "";
        const char *path = put("mediatord.conf", bad[i].text);

        config.spare_workers = 13;
        if (config_load(path, &config, error) != -1 || !strstr(error, bad[i].says))
            fail_msg("%s gave \"%s\", not \"%s\"", bad[i].text, error, bad[i].says);
        assert_int_equal(strncmp(error, path, strlen(path)), 0);
        assert_null(strchr(error, '\n'));
        assert_int_equal(config.spare_workers, 13);
    }
}

static const struct {
    const char *name, *text, *says;
} bad_vms[] = {
    {"a.json", "{\"vm_id\": 1, \"pool\": \"A\", \"priority\": \"low\"}", "\"socket\" is missing"},
    {"a.json", "{\"socket\": \"/s\", \"pool\": \"A\", \"priority\": \"low\"}",
     "\"vm_id\" is missing"},
    {"a.json", "{\"socket\": \"/s\", \"vm_id\": 1, \"priority\": \"low\"}", "\"pool\" is missing"},
    {"a.json", "{\"socket\": \"/s\", \"vm_id\": 1, \"pool\": \"A\"}", "\"priority\" is missing"},
    {"a.json", "{\"socket\": \"s\", \"vm_id\": 1, \"pool\": \"A\", \"priority\": \"low\"}",
     "absolute path"},
    {"a.json", "{\"socket\": \"/s\", \"vm_id\": \"1\", \"pool\": \"A\", \"priority\": \"low\"}",
     "key \"vm_id\": must be a whole number"},
    {"a.json", "{\"socket\": \"/s\", \"vm_id\": 1, \"pool\": \"AB\", \"priority\": \"low\"}",
     "key \"pool\""},
    {"a.json", "{\"socket\": \"/s\", \"vm_id\": 1, \"pool\": \"A\", \"priority\": 1}",
     "key \"priority\": must be a string"},
    {"a.json", "{\"socket\": \"/s\", \"vm_id\": 1, \"pool\": \"A\", \"priority\": \"urgent\"}",
     "\"low\", \"medium\" or \"high\""},
    {"a b.json", "{}", "the file's name"},
    {"a23456789012345678901234567890123456789x.json", "{}", "the file's name"},
};

static void a_bad_vm_entry_says_why(void **state)
{
    struct config_limits limits = {.channels = 64};
    struct config_vm vm;

    for (size_t i = 0; i < sizeof(bad_vms) / sizeof(bad_vms[0]); i++) {
        char error[CONFIG_ERROR] = "";
        const char *path = put(bad_vms[i].name, bad_vms[i].text);

        if (config_load_vm(path, &limits, &vm, error) != -1 || !strstr(error, bad_vms[i].says))
            fail_msg("%s gave \"%s\", not \"%s\"", bad_vms[i].text, error, bad_vms[i].says);
    }
}

static void a_socket_path_that_no_address_holds_is_refused(void **state)
{
    char text[512], error[CONFIG_ERROR] = "";
    struct config_limits limits = {.channels = 64};
    struct config_vm vm;

    snprintf(text, sizeof(text),
             "{\"socket\": \"/%0120d\", \"vm_id\": 1, \"pool\": \"A\", \"priority\": \"low\"}", 0);
    assert_int_equal(config_load_vm(put("long.json", text), &limits, &vm, error), -1);
    assert_non_null(strstr(error, "shorter than 108"));
}

static void a_vm_entry_takes_its_name_from_the_file(void **state)
{
    char error[CONFIG_ERROR] = "";
    struct config_limits limits = {.channels = 64, .arena = 5};
    struct config_vm vm;
    const char *path = put("web-1.json", "{\"socket\": \"/run/s\", \"vm_id\": 12, \"pool\": \"B\","
                                         "\"priority\": \"high\", \"limits\": {\"channels\": 2}}");

    assert_int_equal(config_load_vm(path, &limits, &vm, error), 0);
    assert_string_equal(vm.identity.name, "web-1");
    assert_string_equal(vm.socket, "/run/s");
    assert_int_equal(vm.identity.vm_id, 12);
    assert_int_equal(vm.identity.pool, 'B');
    assert_int_equal(vm.identity.priority, 2);
    assert_int_equal(vm.identity.limits.channels, 2);
    assert_true(vm.identity.limits.arena == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_file_gives_the_defaults),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(a_mistake_is_one_line_that_says_what_to_do),
        cmocka_unit_test(a_bad_vm_entry_says_why),
        cmocka_unit_test(a_socket_path_that_no_address_holds_is_refused),
        cmocka_unit_test(a_vm_entry_takes_its_name_from_the_file),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
