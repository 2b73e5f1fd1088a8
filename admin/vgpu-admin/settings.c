/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "admin/vgpu-admin/admin.h"

static int show(struct context *c)
{
    static const struct column columns[] = {{"policy", "Policy"},
                                            {"quantum_us", "Quantum (us)"},
                                            {"weight_low", "Weight of low"},
                                            {"weight_medium", "Weight of medium"},
                                            {"weight_high", "Weight of high"},
                                            {"aging_ms", "Aging (ms)"},
                                            {"watchdog_ms", "Watchdog (ms)"},
                                            {"updated", "Updated"},
                                            {NULL, NULL}};
    struct vgpu_scheduler s;
    json_t *object;
    int code = vgpu_get_scheduler(c->db, &s);

    if (code)
        return fail_db(c, code);
    object =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "policy", s.policy, "quantum_us",
                  (json_int_t)s.quantum_us, "weight_low", (json_int_t)s.weight[0], "weight_medium",
                  (json_int_t)s.weight[1], "weight_high", (json_int_t)s.weight[2], "aging_ms",
                  s.aging_ms ? json_integer(s.aging_ms) : json_null(), "watchdog_ms",
                  s.watchdog_ms ? json_integer(s.watchdog_ms) : json_null(), "updated",
                  json_time(s.updated_at));
    if (!c->json)
        print_fields(object, columns);
    print_json(c, object);
    return STATUS_OK;
}

int cmd_scheduler_show(struct context *c)
{
    return show(c);
}

int cmd_scheduler_set(struct context *c)
{
    const char *policy = c->value[OPT_POLICY];
    struct vgpu_scheduler s;
    int code;

    if (!policy && !c->value[OPT_QUANTUM] && !c->value[OPT_WEIGHT_LOW] &&
        !c->value[OPT_WEIGHT_MEDIUM] && !c->value[OPT_WEIGHT_HIGH] && !c->value[OPT_AGING] &&
        !c->value[OPT_WATCHDOG])
        return fail(c, STATUS_USAGE, "say what to change; try: vgpu-admin scheduler set --help");
    code = vgpu_get_scheduler(c->db, &s);
    if (code)
        return fail_db(c, code);
    if (policy && strcmp(policy, "fair") && strcmp(policy, "rr"))
        return fail(c, STATUS_USAGE, "--policy=%.64s: must be fair or rr", policy);
    if (policy)
        strcpy(s.policy, policy);
    if (!take_number(c, OPT_QUANTUM, 100, 1000000, &s.quantum_us) ||
        !take_number(c, OPT_WEIGHT_LOW, 1, 10000, &s.weight[0]) ||
        !take_number(c, OPT_WEIGHT_MEDIUM, 1, 10000, &s.weight[1]) ||
        !take_number(c, OPT_WEIGHT_HIGH, 1, 10000, &s.weight[2]) ||
        !take_limit(c, OPT_AGING, 600000, &s.aging_ms) ||
        !take_limit(c, OPT_WATCHDOG, 3600000, &s.watchdog_ms))
        return STATUS_USAGE;
    code = vgpu_set_scheduler(c->db, &s);
    if (code)
        return fail_db(c, code);
    say(c, "The scheduler's settings are changed.");
    return c->json ? show(c) : STATUS_OK;
}
