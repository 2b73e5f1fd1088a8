/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "mediator/common/log.h"

#define MB (1024ull * 1024)
#define MS 1000000ull

/* The first error stays; every getter is a no-op after it. */
struct reader {
    const char *file;
    char *error;
    bool failed;
};

static __attribute__((format(printf, 2, 3))) void fail(struct reader *r, const char *format, ...)
{
    va_list args;
    int n;

    if (r->failed)
        return;
    r->failed = true;
    n = snprintf(r->error, CONFIG_ERROR, "%s: ", r->file);
    if (n < 0 || n >= CONFIG_ERROR)
        return;
    va_start(args, format);
    vsnprintf(r->error + n, CONFIG_ERROR - (size_t)n, format, args);
    va_end(args);
    for (char *c = r->error; *c; c++) {
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    }
}

static json_t *load(struct reader *r, const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

    if (!root) {
        if (error.line > 0) {
            snprintf(r->error, CONFIG_ERROR, "%s:%d: %s", path, error.line, error.text);
            r->failed = true;
        } else {
            fail(r, "cannot be read: %s", strerror(errno));
        }
        return NULL;
    }
    if (!json_is_object(root)) {
        fail(r, "must hold one JSON object: { ... }");
        json_decref(root);
        return NULL;
    }
    return root;
}

static void check_keys(struct reader *r, json_t *object, const char *where, const char *known)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        size_t length = strlen(key);
        const char *at = known;
        bool found = false;

        while (length && (at = strstr(at, key))) {
            if ((at == known || at[-1] == ' ') && (at[length] == ' ' || !at[length])) {
                found = true;
                break;
            }
            at++;
        }
        if (!found)
            fail(r, "unknown key \"%s%s\"; known are: %s", where, key, known);
    }
}

static void get_integer(struct reader *r, json_t *object, const char *key, uint64_t min,
                        uint64_t max, uint64_t unit, uint64_t *out)
{
    json_t *value = json_object_get(object, key);

    if (!value || r->failed)
        return;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) < min || (uint64_t)json_integer_value(value) > max) {
        fail(r, "key \"%s\": must be a whole number from %llu to %llu", key,
             (unsigned long long)min, (unsigned long long)max);
        return;
    }
    *out = (uint64_t)json_integer_value(value) * unit;
}

static void get_u32(struct reader *r, json_t *object, const char *key, uint32_t min, uint32_t max,
                    uint32_t *out)
{
    uint64_t value = *out;

    get_integer(r, object, key, min, max, 1, &value);
    *out = (uint32_t)value;
}

static const char *get_string(struct reader *r, json_t *object, const char *key, size_t room)
{
    json_t *value = json_object_get(object, key);

    if (!value || r->failed)
        return NULL;
    if (!json_is_string(value) || json_string_length(value) != strlen(json_string_value(value))) {
        fail(r, "key \"%s\": must be a string", key);
        return NULL;
    }
    if (json_string_length(value) >= room) {
        fail(r, "key \"%s\": must be shorter than %zu characters", key, room);
        return NULL;
    }
    return json_string_value(value);
}

static void get_path(struct reader *r, json_t *object, const char *key, char *out, size_t room)
{
    const char *text = get_string(r, object, key, room);

    if (!text)
        return;
    if (text[0] != '/')
        fail(r, "key \"%s\": must be an absolute path", key);
    else
        strcpy(out, text);
}

bool config_parse_gpu(const char *text, enum config_gpu *gpu)
{
    static const char *const names[] = {"auto", "nvidia", "soft"};

    for (unsigned i = 0; i < 3; i++) {
        if (!strcmp(text, names[i])) {
            *gpu = (enum config_gpu)i;
            return true;
        }
    }
    return false;
}

static const char *const priorities[] = {"low", "medium", "high"};

bool config_parse_priority(const char *text, uint32_t *priority)
{
    for (uint32_t i = 0; i < 3; i++) {
        if (!strcmp(text, priorities[i])) {
            *priority = i;
            return true;
        }
    }
    return false;
}

const char *config_priority_name(uint32_t priority)
{
    return priority < 3 ? priorities[priority] : "unknown";
}

bool config_name_is_valid(const char *name)
{
    size_t length =
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    return length > 0 && length < CONFIG_NAME && !name[length] && name[0] != '.';
}

static void get_limits(struct reader *r, json_t *object, struct config_limits *limits)
{
    json_t *value = json_object_get(object, "limits");

    if (!value || r->failed)
        return;
    if (!json_is_object(value)) {
        fail(r, "key \"limits\": must be an object");
        return;
    }
    check_keys(r, value, "limits.",
               "channels arena_mb device_memory_mb memory_mb cpu_percent weight gpu_percent "
               "gpu_burst_ms submissions_per_s submission_burst watchdog_ms quarantine_faults "
               "quarantine_s");
    get_u32(r, value, "channels", 1, 64, &limits->channels);
    get_integer(r, value, "arena_mb", 0, 1u << 24, MB, &limits->arena);
    get_integer(r, value, "device_memory_mb", 0, 1u << 24, MB, &limits->device_memory);
    get_integer(r, value, "memory_mb", 0, 1u << 24, MB, &limits->memory);
    get_u32(r, value, "cpu_percent", 0, 102400, &limits->cpu_percent);
    get_u32(r, value, "weight", 0, SCHED_WEIGHT_MAX, &limits->weight);
    get_integer(r, value, "gpu_percent", 0, 100, 1, &limits->gpu_percent);
    get_integer(r, value, "gpu_burst_ms", 1, 60000, MS, &limits->gpu_burst);
    get_integer(r, value, "submissions_per_s", 0, 1u << 30, 1, &limits->submissions);
    get_integer(r, value, "submission_burst", 0, 1u << 30, 1, &limits->submission_burst);
    get_integer(r, value, "watchdog_ms", 0, 1u << 30, MS, &limits->watchdog);
    get_integer(r, value, "quarantine_faults", 0, 1000000, 1, &limits->quarantine_faults);
    get_integer(r, value, "quarantine_s", 1, 1u << 30, 1000 * MS, &limits->quarantine);
}

static void get_identity(struct reader *r, json_t *object, struct config_identity *identity,
                         bool required)
{
    static const char *const needed[] = {"vm_id", "pool", "priority"};
    const char *text;

    for (unsigned i = 0; required && i < 3; i++) {
        if (!json_object_get(object, needed[i]))
            fail(r, "key \"%s\" is missing", needed[i]);
    }
    get_u32(r, object, "vm_id", 0, INT32_MAX, &identity->vm_id);
    text = get_string(r, object, "pool", 16);
    if (text) {
        if (text[0] >= 'A' && text[0] <= 'Z' && !text[1])
            identity->pool = (uint32_t)text[0];
        else
            fail(r, "key \"pool\": must be one letter, \"A\" to \"Z\"");
    }
    text = get_string(r, object, "priority", 16);
    if (text && !config_parse_priority(text, &identity->priority))
        fail(r, "key \"priority\": must be \"low\", \"medium\" or \"high\"");
    get_limits(r, object, &identity->limits);
}

void config_defaults(struct config *config)
{
    *config = (struct config){
        .gpu = CONFIG_GPU_AUTO,
        .quantum_ns = 10 * MS,
        .stop_grace_ns = 500 * MS,
        .start_timeout_ns = 60000 * MS,
        .spare_workers = 1,
        .max_workers = 512,
        .worker_uid_base = 0x76670000, /* far above what distributions hand out */
        .worker_uid_count = 4096,
        .cgroup = "auto",
        .measure = true,
        .log_level = VGPU_LOG_INFO,
        .limits = {.channels = 64, .gpu_burst = 100 * MS, .quarantine = 60000 * MS},
        .scheduler = {.policy = SCHED_FAIR,
                      .quantum_min_ns = MS,
                      .grace_ns = MS / 5,
                      .aging_ns = 2000 * MS,
                      .in_flight_ns = 2 * MS,
                      .in_flight_urgent_ns = MS / 2},
        .weights = {100, 400, 1600},
        .local_count = 1,
    };
    for (unsigned i = 0; i < CONFIG_POOLS; i++)
        config->pools[i] = 100;
    config->locals[0] = (struct config_local){
        .identity = {.name = "host", .pool = 'A', .priority = 1, .limits = config->limits},
        .uid = geteuid()};
    if (geteuid() != 0) {
        config->locals[1] = config->locals[0];
        config->locals[1].uid = 0;
        config->local_count = 2;
    }
}

static json_t *get_object(struct reader *r, json_t *object, const char *key, const char *known)
{
    json_t *value = json_object_get(object, key);
    char where[64];

    if (!value || r->failed)
        return NULL;
    if (!json_is_object(value)) {
        fail(r, "key \"%s\": must be an object", key);
        return NULL;
    }
    snprintf(where, sizeof(where), "%s.", key);
    check_keys(r, value, where, known);
    return value;
}

static void get_scheduler(struct reader *r, json_t *root, struct config *config)
{
    static const char *const policies[] = {"rr", "fair"};
    struct sched_params *params = &config->scheduler;
    json_t *object, *weights;
    const char *text;

    object = get_object(
        r, root, "scheduler",
        "policy quantum_min_us grace_us aging_ms in_flight_us in_flight_urgent_us weights pools");
    if (!object)
        return;
    text = get_string(r, object, "policy", 16);
    if (text && !strcmp(text, policies[SCHED_RR]))
        params->policy = SCHED_RR;
    else if (text && !strcmp(text, policies[SCHED_FAIR]))
        params->policy = SCHED_FAIR;
    else if (text)
        fail(r, "key \"policy\": must be \"fair\" or \"rr\"");
    get_integer(r, object, "quantum_min_us", 10, 1000000, 1000, &params->quantum_min_ns);
    get_integer(r, object, "grace_us", 0, 100000, 1000, &params->grace_ns);
    get_integer(r, object, "aging_ms", 0, 1u << 30, MS, &params->aging_ns);
    get_integer(r, object, "in_flight_us", 0, 1u << 30, 1000, &params->in_flight_ns);
    get_integer(r, object, "in_flight_urgent_us", 0, 1u << 30, 1000, &params->in_flight_urgent_ns);
    weights = get_object(r, object, "weights", "low medium high");
    for (unsigned i = 0; weights && i < 3; i++)
        get_u32(r, weights, priorities[i], 1, SCHED_WEIGHT_MAX, &config->weights[i]);
    weights = get_object(r, object, "pools", "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z");
    for (unsigned i = 0; weights && i < CONFIG_POOLS; i++) {
        char name[2] = {(char)('A' + i)};

        get_u32(r, weights, name, 1, SCHED_WEIGHT_MAX, &config->pools[i]);
    }
}

/* Names that are, or may become, the daemon's own in the run directory. */
static bool is_reserved(const char *name)
{
    return !strncmp(name, "mediatord.", 10) || !strcmp(name, "local.sock") ||
           !strcmp(name, "control.sock") || !strcmp(name, "metrics.sock");
}

static void get_locals(struct reader *r, json_t *root, struct config *config)
{
    json_t *array = json_object_get(root, "local"), *object;
    size_t i;

    if (!array || r->failed) {
        for (i = 0; i < config->local_count; i++)
            config->locals[i].identity.limits = config->limits;
        return;
    }
    if (!json_is_array(array) || json_array_size(array) > CONFIG_LOCALS) {
        fail(r, "key \"local\": must be an array of at most %d objects", CONFIG_LOCALS);
        return;
    }
    config->local_count = 0;
    json_array_foreach(array, i, object)
    {
        struct config_local *local = &config->locals[config->local_count++];
        uint32_t uid = 0;
        const char *name;

        if (!json_is_object(object) || !json_object_get(object, "uid")) {
            fail(r, "key \"local\": entry %zu must be an object with a \"uid\"", i + 1);
            return;
        }
        *local = (struct config_local){
            .identity = {.pool = 'A', .priority = 1, .limits = config->limits}};
        check_keys(r, object, "local.", "uid socket name vm_id pool priority limits");
        get_u32(r, object, "uid", 0, UINT32_MAX - 1, &uid);
        local->uid = uid;
        name = get_string(r, object, "socket", CONFIG_NAME);
        if (name && (!config_name_is_valid(name) || is_reserved(name)))
            fail(r,
                 "key \"socket\": must be a file name of 1 to 39 of the characters A-Z a-z 0-9 . _ "
                 "- that the daemon does not use itself");
        if (name)
            strcpy(local->socket, name);
        name = get_string(r, object, "name", CONFIG_NAME);
        if (name && !config_name_is_valid(name))
            fail(r, "key \"name\": must be 1 to 39 of the characters A-Z a-z 0-9 . _ -");
        if (name)
            strcpy(local->identity.name, name);
        else
            snprintf(local->identity.name, CONFIG_NAME, "uid-%u", uid);
        get_identity(r, object, &local->identity, false);
        for (size_t k = 0; k + 1 < config->local_count; k++) {
            if (config->locals[k].uid == local->uid &&
                !strcmp(config->locals[k].socket, local->socket))
                fail(r, "key \"local\": uid %u is given twice", uid);
        }
    }
}

int config_load(const char *path, struct config *config, char *error)
{
    struct reader r = {.file = path, .error = error};
    struct config c;
    const char *text;
    json_t *root, *value;

    config_defaults(&c);
    c.scheduler.quantum_ns = c.quantum_ns;
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        *config = c;
        return 0;
    }
    root = load(&r, path);
    if (!root)
        return -1;
    check_keys(&r, root, "",
               "gpu driver worker quantum_ms spare_workers stop_grace_ms start_timeout_ms "
               "max_workers worker_uid_base worker_uid_count cgroup measure_gpu_time log_level "
               "limits scheduler local");
    text = get_string(&r, root, "gpu", 16);
    if (text && !config_parse_gpu(text, &c.gpu))
        fail(&r, "key \"gpu\": must be \"auto\", \"nvidia\" or \"soft\"");
    get_path(&r, root, "driver", c.driver, sizeof(c.driver));
    get_path(&r, root, "worker", c.worker, sizeof(c.worker));
    get_integer(&r, root, "quantum_ms", 1, 1000, MS, &c.quantum_ns);
    get_u32(&r, root, "spare_workers", 0, 16, &c.spare_workers);
    get_integer(&r, root, "stop_grace_ms", 0, 60000, MS, &c.stop_grace_ns);
    get_integer(&r, root, "start_timeout_ms", 100, 600000, MS, &c.start_timeout_ns);
    get_u32(&r, root, "max_workers", 1, 4096, &c.max_workers);
    get_u32(&r, root, "worker_uid_base", 0, UINT32_MAX - 65537, &c.worker_uid_base);
    get_u32(&r, root, "worker_uid_count", 1, 65536, &c.worker_uid_count);
    text = get_string(&r, root, "cgroup", sizeof(c.cgroup));
    if (text && strcmp(text, "auto") && strcmp(text, "off") && text[0] != '/')
        fail(&r, "key \"cgroup\": must be \"auto\", \"off\" or an absolute path");
    else if (text)
        strcpy(c.cgroup, text);
    value = json_object_get(root, "measure_gpu_time");
    if (value && !json_is_boolean(value))
        fail(&r, "key \"measure_gpu_time\": must be true or false");
    else if (value)
        c.measure = json_is_true(value);
    text = get_string(&r, root, "log_level", 16);
    if (text) {
        static const char *const levels[] = {"error", "warn", "info", "debug"};
        int level = -1;

        for (int i = 0; i < 4; i++) {
            if (!strcmp(text, levels[i]))
                level = i;
        }
        if (level < 0)
            fail(&r, "key \"log_level\": must be \"error\", \"warn\", \"info\" or \"debug\"");
        c.log_level = level;
    }
    get_limits(&r, root, &c.limits);
    get_scheduler(&r, root, &c);
    c.scheduler.quantum_ns = c.quantum_ns;
    get_locals(&r, root, &c);
    json_decref(root);
    if (r.failed)
        return -1;
    *config = c;
    return 0;
}

int config_load_vm(const char *path, const struct config_limits *defaults, struct config_vm *vm,
                   char *error)
{
    struct reader r = {.file = path, .error = error};
    const char *base = strrchr(path, '/');
    size_t length;
    char name[CONFIG_NAME];
    json_t *root;

    base = base ? base + 1 : path;
    length = strlen(base);
    if (length > 5 && !strcmp(base + length - 5, ".json"))
        length -= 5;
    if (length < sizeof(name)) {
        memcpy(name, base, length);
        name[length] = 0;
    }
    if (length >= sizeof(name) || !config_name_is_valid(name)) {
        fail(&r, "the file's name must be 1 to 39 of A-Z a-z 0-9 . _ - and end in .json");
        return -1;
    }
    root = load(&r, path);
    if (!root)
        return -1;
    *vm = (struct config_vm){.identity.limits = *defaults};
    strcpy(vm->identity.name, name);
    check_keys(&r, root, "", "socket vm_id pool priority limits");
    if (!json_object_get(root, "socket"))
        fail(&r, "key \"socket\" is missing");
    get_path(&r, root, "socket", vm->socket, sizeof(vm->socket));
    get_identity(&r, root, &vm->identity, true);
    json_decref(root);
    return r.failed ? -1 : 0;
}
