/* SPDX-License-Identifier: Apache-2.0 */
/* The log: a line is a line, whatever a guest calls itself, and a storm does not fill the disk. */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mediator/common/log.h"

static int target;
static char text[1 << 20];

static int set_up(void **state)
{
    target = memfd_create("log", MFD_CLOEXEC);
    vgpu_log_set_fd(target);
    vgpu_log_set_level(VGPU_LOG_INFO);
    return target < 0;
}

static int tear_down(void **state)
{
    vgpu_log_set_fd(2);
    close(target);
    return 0;
}

static unsigned lines(void)
{
    unsigned n = 0;
    ssize_t count = pread(target, text, sizeof(text) - 1, 0);
    text[count < 0 ? 0 : count] = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

static void a_line_has_time_level_event_and_fields(void **state)
{
    int y, mo, d, h, mi, s, ms;

    vgpu_log(VGPU_LOG_WARN, "format", LOG_U("vm", 7), LOG_S("pool", "A"), LOG_I("delta", -3),
             LOG_X("address", 0x1e0000000000ull));
    assert_int_equal(lines(), 1);
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ ", &y, &mo, &d, &h, &mi, &s, &ms),
                     7);
    assert_string_equal(text + 24, " warn format vm=7 pool=A delta=-3 address=0x1e0000000000\n");
}

static void a_value_cannot_forge_a_line_or_a_field(void **state)
{
    vgpu_log(VGPU_LOG_INFO, "escape", LOG_S("process", "a b\nevil=\"1\" \\ \x1b[2J\xff"),
             LOG_S("empty", ""), LOG_S("none", NULL));
    assert_int_equal(lines(), 1);
    assert_string_equal(strstr(text, "escape"),
                        "escape process=\"a b\\x0aevil=\\\"1\\\" \\\\ \\x1b[2J\\xff\" empty=\"\" "
                        "none=-\n");
}

static void a_long_value_is_cut(void **state)
{
    char *value = malloc(100000);

    memset(value, 'x', 99999);
    value[99999] = 0;
    vgpu_log(VGPU_LOG_INFO, "long", LOG_S("value", value));
    assert_int_equal(lines(), 1);
    assert_in_range(strlen(text), 1000, 2048);
    free(value);
}

static void levels_are_filtered(void **state)
{
    vgpu_log(VGPU_LOG_DEBUG, "level");
    assert_int_equal(lines(), 0);
    vgpu_log_set_level(VGPU_LOG_DEBUG);
    vgpu_log(VGPU_LOG_DEBUG, "level");
    assert_int_equal(lines(), 1);
}

static void a_storm_is_cut_and_counted(void **state)
{
    unsigned n;

    for (int i = 0; i < 5000; i++)
        vgpu_log(VGPU_LOG_WARN, "storm", LOG_U("vm", 1));
    n = lines();
    assert_in_range(n, 50, 500);
    /* Another VM and another event are heard. */
    vgpu_log(VGPU_LOG_WARN, "storm", LOG_U("vm", 2));
    vgpu_log(VGPU_LOG_WARN, "other", LOG_U("vm", 1));
    assert_int_equal(lines(), n + 2);
    /* Tokens come back with time; until then more is suppressed. */
    while (lines() == n + 2) {
        usleep(10000);
        vgpu_log(VGPU_LOG_WARN, "storm", LOG_U("vm", 1));
    }
    assert_non_null(strstr(text, "storm suppressed="));
}

static void *log_often(void *argument)
{
    char event[16];
    for (int i = 0; i < 200; i++) {
        snprintf(event, sizeof(event), "t%d_%d", (int)(intptr_t)argument, i);
        vgpu_log(VGPU_LOG_INFO, event, LOG_S("text", "0123456789 0123456789"));
    }
    return NULL;
}

static void threads_write_whole_lines(void **state)
{
    pthread_t threads[4];
    unsigned n = 0;

    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_often, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(lines(), 800);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++)
        assert_string_equal(strstr(line, " text="), " text=\"0123456789 0123456789\"");
    assert_int_equal(n, 800);
}

/* Last: it stays for the life of the process. */
static void the_context_is_on_every_line(void **state)
{
    vgpu_log_set_context("worker", "47 11");
    vgpu_log(VGPU_LOG_INFO, "context", LOG_U("vm", 1));
    assert_int_equal(lines(), 1);
    assert_string_equal(strstr(text, "context"), "context worker=\"47 11\" vm=1\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_event_and_fields),
        TEST(a_value_cannot_forge_a_line_or_a_field),
        TEST(a_long_value_is_cut),
        TEST(levels_are_filtered),
        TEST(a_storm_is_cut_and_counted),
        TEST(threads_write_whole_lines),
        TEST(the_context_is_on_every_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
