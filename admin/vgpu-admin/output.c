/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/vgpu-admin/admin.h"

int fail(struct context *c, int status, const char *format, ...)
{
    char text[4096 + 1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "vgpu-admin: %s\n", text);
    if (c->json) {
        json_t *error = json_string(text);

        json_t *object = json_pack("{s:o, s:i}", "error", error ? error : json_string("not UTF-8"),
                                   "exit_status", status);

        print_json(c, object);
    }
    return status;
}

int fail_db(struct context *c, int code)
{
    int status = code == VGPU_NOT_FOUND       ? STATUS_NOT_FOUND
                 : code == VGPU_INVALID_PARAM ? STATUS_USAGE
                 : code == VGPU_DB_ERROR      ? STATUS_DATABASE
                                              : STATUS_FAILED;

    return fail(c, status, "%s", vgpu_db_error());
}

bool print_json(struct context *c, json_t *value)
{
    if (c->json) {
        json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    json_decref(value);
    return c->json;
}

void say(struct context *c, const char *format, ...)
{
    va_list args;

    if (c->json)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

bool confirm(struct context *c, const char *question)
{
    char line[64];

    if (c->yes)
        return true;
    for (;;) {
        /* Beside JSON the question must not get into the output. */
        fprintf(c->json ? stderr : stdout, "%s (yes/no): ", question);
        fflush(c->json ? stderr : stdout);
        if (!fgets(line, sizeof(line), stdin)) {
            fputc('\n', c->json ? stderr : stdout);
            return false;
        }
        line[strcspn(line, "\r\n")] = 0;
        if (!strcmp(line, "yes"))
            return true;
        if (!strcmp(line, "no"))
            return false;
    }
}

json_t *json_time(int64_t seconds)
{
    char text[32] = "";
    time_t at = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&at, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

void format_ns(uint64_t ns, char *out, size_t size)
{
    if (ns < 1000000)
        snprintf(out, size, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(out, size, "%.1f ms", (double)ns / 1e6);
    else
        snprintf(out, size, "%.2f s", (double)ns / 1e9);
}

/* Columns on the terminal: what UTF-8 continues does not count. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void cell(const json_t *value, char *out, size_t size)
{
    if (json_is_string(value))
        snprintf(out, size, "%s", json_string_value(value)[0] ? json_string_value(value) : "-");
    else if (json_is_integer(value))
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(out, size, "%.1f", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
    else
        snprintf(out, size, "-");
}

void print_table(const json_t *rows, const struct column *columns)
{
    int widths[24] = {0}, count = 0;
    bool right[24];
    char text[512];
    size_t i;
    json_t *row;

    for (; columns[count].key; count++) {
        widths[count] = width_of(columns[count].title);
        right[count] = json_array_size(rows) > 0;
        json_array_foreach((json_t *)rows, i, row)
        {
            const json_t *value = json_object_get(row, columns[count].key);

            cell(value, text, sizeof(text));
            if (width_of(text) > widths[count])
                widths[count] = width_of(text);
            right[count] &= !value || json_is_number(value) || json_is_null(value);
        }
    }
    for (i = 0; i <= json_array_size(rows); i++) {
        row = i ? json_array_get(rows, i - 1) : NULL;
        for (int k = 0; k < count; k++) {
            int room;

            if (row)
                cell(json_object_get(row, columns[k].key), text, sizeof(text));
            else
                snprintf(text, sizeof(text), "%s", columns[k].title);
            room = widths[k] - width_of(text);
            if (k)
                fputs("  ", stdout);
            if (right[k])
                printf("%*s%s", room, "", text);
            else
                printf("%s%*s", text, k + 1 < count ? room : 0, "");
        }
        putchar('\n');
    }
}

void print_fields(const json_t *object, const struct column *columns)
{
    int width = 0;
    char text[512];

    for (int i = 0; columns[i].key; i++) {
        if (width_of(columns[i].title) > width)
            width = width_of(columns[i].title);
    }
    for (int i = 0; columns[i].key; i++) {
        cell(json_object_get(object, columns[i].key), text, sizeof(text));
        printf("%s:%*s %s\n", columns[i].title, width - width_of(columns[i].title), "", text);
    }
}

/* ---- values of options ---- */

bool take_number(struct context *c, enum option option, uint32_t min, uint32_t max, uint32_t *out)
{
    const char *text = c->value[option];
    unsigned long long value = 0;
    size_t digits = text ? strspn(text, "0123456789") : 0;

    if (!text)
        return true;
    if (digits && digits <= 10 && !text[digits])
        value = strtoull(text, NULL, 10);
    if (!digits || digits > 10 || text[digits] || value < min || value > max) {
        fail(c, STATUS_USAGE, "--%s=%.64s: must be a whole number from %u to %u",
             options[option].name, text, min, max);
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool take_limit(struct context *c, enum option option, uint32_t max, uint32_t *out)
{
    if (c->value[option] && !strcmp(c->value[option], "none")) {
        *out = 0;
        return true;
    }
    return take_number(c, option, 1, max, out);
}

bool take_text(struct context *c, enum option option, char *out, size_t size)
{
    if (!c->value[option])
        return true;
    if (strlen(c->value[option]) >= size) {
        fail(c, STATUS_USAGE, "--%s: must be shorter than %zu bytes", options[option].name, size);
        return false;
    }
    strcpy(out, c->value[option]);
    return true;
}

bool take_pool(struct context *c, enum option option, char *out)
{
    const char *text = c->value[option];

    if (!text)
        return true;
    if (text[0] < 'A' || text[0] > 'Z' || text[1]) {
        fail(c, STATUS_USAGE,
             "--%s=%.64s: a pool is one letter, A to Z; vgpu-admin list-pools "
             "shows what there is",
             options[option].name, text);
        return false;
    }
    *out = text[0];
    return true;
}

bool take_priority(struct context *c, enum option option, uint32_t *out)
{
    if (!c->value[option] || vgpu_parse_priority(c->value[option], out))
        return true;
    fail(c, STATUS_USAGE, "--%s=%.64s: must be low, medium or high", options[option].name,
         c->value[option]);
    return false;
}

bool take_uuid(struct context *c, enum option option, char *out)
{
    if (!c->value[option] || vgpu_parse_uuid(c->value[option], out))
        return true;
    fail(c, STATUS_USAGE, "--%s=%.64s: is no UUID; expected are 8-4-4-4-12 hexadecimal digits",
         options[option].name, c->value[option]);
    return false;
}
