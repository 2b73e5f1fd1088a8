/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048
#define BUCKETS 256
#define BURST 50
#define PER_SECOND 10

/* One per (event, vm) by hash; a collision starts the bucket anew, which only lets more through. */
struct bucket {
    uint64_t hash;
    uint64_t refilled; /* ns */
    uint32_t tokens;
    uint32_t suppressed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bucket buckets[BUCKETS];
static char context[128];
static int target = 2;
static enum vgpu_log_level threshold = VGPU_LOG_INFO;

struct line {
    char text[LINE_BYTES];
    size_t length;
};

/* Room for the newline is kept; what does not fit is cut. */
static void put(struct line *l, const char *bytes, size_t count)
{
    size_t room = sizeof(l->text) - 1 - l->length;

    if (count > room)
        count = room;
    memcpy(l->text + l->length, bytes, count);
    l->length += count;
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

static bool is_plain(const char *value)
{
    if (!*value)
        return false;
    for (const unsigned char *p = (const unsigned char *)value; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\' || *p == '=')
            return false;
    return true;
}

static void put_value(struct line *l, const char *value)
{
    if (!value)
        value = "-";
    if (is_plain(value)) {
        put_text(l, value);
        return;
    }
    put(l, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
        char escape[8];
        if (*p == '"' || *p == '\\')
            snprintf(escape, sizeof(escape), "\\%c", *p);
        else if (*p < ' ' || *p >= 0x7f)
            snprintf(escape, sizeof(escape), "\\x%02x", *p);
        else
            snprintf(escape, sizeof(escape), "%c", *p);
        put_text(l, escape);
    }
    put(l, "\"", 1);
}

static void put_field(struct line *l, const struct vgpu_log_field *f)
{
    char number[32];

    put(l, " ", 1);
    put_text(l, f->key);
    put(l, "=", 1);
    switch (f->kind) {
    case 's':
        put_value(l, f->s);
        return;
    case 'u':
        snprintf(number, sizeof(number), "%llu", (unsigned long long)f->u);
        break;
    case 'i':
        snprintf(number, sizeof(number), "%lld", (long long)f->i);
        break;
    default:
        snprintf(number, sizeof(number), "0x%llx", (unsigned long long)f->u);
        break;
    }
    put_text(l, number);
}

static uint64_t hash_of(const char *event, const struct vgpu_log_field *fields)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (; *event; event++)
        hash = (hash ^ (unsigned char)*event) * 1099511628211u;
    /* One noisy VM must not silence the others. */
    for (; fields->key; fields++)
        if (fields->kind == 'u' && strcmp(fields->key, "vm") == 0)
            hash = (hash ^ fields->u) * 1099511628211u;
    return hash;
}

/* Whether a line may pass; *suppressed: how many did not since the last that did. */
static bool admit(uint64_t hash, uint32_t *suppressed)
{
    struct bucket *b = &buckets[hash % BUCKETS];
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    if (b->hash != hash)
        *b = (struct bucket){.hash = hash, .refilled = now, .tokens = BURST};
    uint64_t earned = (now - b->refilled) / (1000000000u / PER_SECOND);
    if (earned) {
        b->tokens = earned > BURST - b->tokens ? BURST : b->tokens + (uint32_t)earned;
        b->refilled = now;
    }
    if (!b->tokens) {
        b->suppressed++;
        return false;
    }
    b->tokens--;
    *suppressed = b->suppressed;
    b->suppressed = 0;
    return true;
}

void vgpu_log_set_level(enum vgpu_log_level level)
{
    pthread_mutex_lock(&lock);
    threshold = level;
    pthread_mutex_unlock(&lock);
}

void vgpu_log_set_fd(int fd)
{
    pthread_mutex_lock(&lock);
    target = fd;
    pthread_mutex_unlock(&lock);
}

int vgpu_log_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return -1;
    vgpu_log_set_fd(fd);
    return 0;
}

void vgpu_log_set_context(const char *key, const char *value)
{
    struct line l = {.length = 0};

    put(&l, " ", 1);
    put_text(&l, key);
    put(&l, "=", 1);
    put_value(&l, value);
    pthread_mutex_lock(&lock);
    size_t n = l.length < sizeof(context) - 1 ? l.length : sizeof(context) - 1;
    memcpy(context, l.text, n);
    context[n] = 0;
    pthread_mutex_unlock(&lock);
}

void vgpu_log_fields(enum vgpu_log_level level, const char *event,
                     const struct vgpu_log_field *fields)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct line l;
    struct timespec t;
    struct tm utc;
    char head[64];
    uint32_t suppressed = 0;
    int saved = errno;

    l.length = 0;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    size_t n = strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(head + n, sizeof(head) - n, ".%03ldZ %s ", t.tv_nsec / 1000000, names[level & 3]);

    pthread_mutex_lock(&lock);
    if (level <= threshold && admit(hash_of(event, fields), &suppressed)) {
        put_text(&l, head);
        put_text(&l, event);
        put_text(&l, context);
        if (suppressed)
            put_field(&l, &LOG_U("suppressed", suppressed));
        for (; fields->key; fields++)
            put_field(&l, fields);
        l.text[l.length++] = '\n';
        ssize_t written = write(target, l.text, l.length);
        (void)written;
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}
