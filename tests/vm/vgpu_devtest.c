// SPDX-License-Identifier: Apache-2.0
/*
 * vgpu_devtest - does to /dev/vgpu0 what its arguments say, one after the other
 *
 * Each step prints one line, "step: result", where a failed call's result is its errno's name, and
 * the exit status is 0 unless the arguments make no sense. driver_test.py says what should have
 * come out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../guest/driver/vgpu_uapi.h"

#define MIB (1ul << 20)

static int fd = -1;
static size_t bytes;
static uint64_t *arena;
static uint64_t seen;

static void report(const char *step, int rc)
{
    if (rc < 0)
        printf("%s: %s\n", step, strerrorname_np(errno));
    else
        printf("%s: 0\n", step);
    fflush(stdout);
}

static void info(void)
{
    struct vgpu_ioc_info i = {0};

    if (ioctl(fd, VGPU_IOC_INFO, &i) < 0) {
        report("info", -1);
        return;
    }
    printf("info: abi=%u.%u vm_id=%u pool=%c priority=%u features=%u status=%u arena_max=%llu\n",
           i.abi >> 16, i.abi & 0xffff, i.vm_id, (char)i.pool_id, i.priority, i.features, i.status,
           (unsigned long long)i.arena_max);
    fflush(stdout);
}

static int take_arena(int file, size_t size)
{
    struct vgpu_ioc_arena a = {.bytes = size};

    return ioctl(file, VGPU_IOC_ARENA, &a);
}

static int map(int file, size_t size, uint64_t address, void **out)
{
    int flags = MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0);
    void *p = mmap((void *)address, size, PROT_READ | PROT_WRITE, flags, file, 0);

    if (p == MAP_FAILED)
        return -1;
    if (address && p != (void *)address) {
        errno = EFAULT;
        return -1;
    }
    *out = p;
    return 0;
}

/* What mmap() must refuse, and may grant. */
static void map_rules(void)
{
    static const struct {
        const char *name;
        int prot, flags;
        long more;
        off_t offset;
    } cases[] = {
        {"short", PROT_READ, MAP_SHARED, -4096, 0},
        {"long", PROT_READ, MAP_SHARED, 4096, 0},
        {"offset", PROT_READ, MAP_SHARED, 0, 4096},
        {"private", PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, 0},
        {"exec", PROT_READ | PROT_EXEC, MAP_SHARED, 0, 0},
        {"read", PROT_READ, MAP_SHARED, 0, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = (size_t)((long)bytes + cases[i].more);
        void *p = mmap(NULL, size, cases[i].prot, cases[i].flags, fd, cases[i].offset);
        char step[32];

        snprintf(step, sizeof(step), "map-%s", cases[i].name);
        report(step, p == MAP_FAILED ? -1 : 0);
        if (p == MAP_FAILED)
            continue;
        report("map-then-exec", mprotect(p, size, PROT_READ | PROT_EXEC));
        munmap(p, size);
    }
}

static uint64_t pattern(uint64_t seed, size_t i)
{
    return (seed << 32) + i * 0x9e3779b97f4a7c15ull;
}

static void fill(uint64_t seed)
{
    for (size_t i = 0; i < bytes / 8; i++)
        arena[i] = pattern(seed, i);
    report("fill", 0);
}

static void check(const char *step, int zero, uint64_t seed)
{
    for (size_t i = 0; i < bytes / 8; i++)
        if (arena[i] != (zero ? 0 : pattern(seed, i))) {
            printf("%s: word %zu is %#llx\n", step, i, (unsigned long long)arena[i]);
            fflush(stdout);
            return;
        }
    report(step, 0);
}

static void connect_channel(void)
{
    struct vgpu_ioc_open o = {.channel = 0xaaaaaaaa, .reason = 0xaaaaaaaa};
    int rc = ioctl(fd, VGPU_IOC_OPEN, &o);

    if (rc == 0)
        printf("connect: channel %u\n", o.channel);
    else if (errno == ECONNREFUSED)
        printf("connect: ECONNREFUSED reason %u\n", o.reason);
    else
        report("connect", rc);
    fflush(stdout);
}

static void wait_event(const char *step, uint32_t ms)
{
    struct vgpu_ioc_wait w = {.events = seen, .timeout_ms = ms};
    int rc = ioctl(fd, VGPU_IOC_WAIT, &w);

    if (rc < 0 && errno == EPIPE)
        printf("%s: EPIPE reason %u\n", step, w.reason);
    else if (rc < 0)
        report(step, rc);
    else
        printf("%s: events %llu\n", step, (unsigned long long)w.events);
    if (rc == 0)
        seen = w.events;
    fflush(stdout);
}

static void until(const char *file)
{
    while (access(file, F_OK) != 0)
        usleep(2000);
    report("until", 0);
}

static void forked(void)
{
    struct vgpu_ioc_open o;
    struct vgpu_ioc_wait w = {0};
    void *p;
    pid_t pid;
    int status;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        info();
        report("child-arena", take_arena(fd, 2 * MIB));
        report("child-connect", ioctl(fd, VGPU_IOC_OPEN, &o));
        report("child-bell", ioctl(fd, VGPU_IOC_DOORBELL));
        report("child-wait", ioctl(fd, VGPU_IOC_WAIT, &w));
        report("child-map", map(fd, bytes, 0, &p));
        signal(SIGSEGV, SIG_DFL);
        arena[0] = 1;
        report("child-store", 0);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    printf("fork: child %s %d\n", WIFSIGNALED(status) ? "signal" : "status",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fflush(stdout);
}

/* A child that only keeps the file. */
static void orphan(void)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        setsid();
        close(0);
        close(1);
        close(2);
        for (;;)
            pause();
    }
    printf("orphan: %d\n", pid);
    fflush(stdout);
}

static void many(const char *device, int wanted)
{
    struct vgpu_ioc_open o;
    int opened = 0;

    for (int i = 0; i < wanted; i++) {
        int file = open(device, O_RDWR);
        void *p;

        if (file < 0 || take_arena(file, 2 * MIB) || map(file, 2 * MIB, 0, &p) ||
            ioctl(file, VGPU_IOC_OPEN, &o)) {
            printf("many: %d then %s\n", opened, strerrorname_np(errno));
            fflush(stdout);
            return;
        }
        *(uint32_t *)p = o.channel;
        opened++;
    }
    printf("many: %d\n", opened);
    fflush(stdout);
}

/* Rings and waits on the channels of many(), whose files are the ones from first on. */
static void each(int first, int count)
{
    int sum = 0;

    for (int i = 0; i < count; i++) {
        struct vgpu_ioc_wait w = {.timeout_ms = 10000};

        if (ioctl(first + i, VGPU_IOC_DOORBELL) || ioctl(first + i, VGPU_IOC_WAIT, &w) ||
            w.events != 1) {
            printf("each: file %d: %s, events %llu\n", i, strerrorname_np(errno),
                   (unsigned long long)w.events);
            fflush(stdout);
            return;
        }
        sum++;
    }
    printf("each: %d\n", sum);
    fflush(stdout);
}

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Every call with every kind of bad argument; the kernel survives, and nothing is granted. */
static void garbage(unsigned int rounds)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));
    uint64_t addresses[] = {0,
                            1,
                            4096,
                            (uint64_t)page,
                            (uint64_t)page + 4095,
                            0x7fffffffffffull,
                            0xffff888000000000ull,
                            0xffffffff81000000ull,
                            ~0ull};
    unsigned int known[] = {VGPU_IOC_INFO, VGPU_IOC_ARENA, VGPU_IOC_OPEN, VGPU_IOC_DOORBELL,
                            VGPU_IOC_WAIT};
    unsigned int surprises = 0;

    random_state = 0x123456789abcdefull;
    for (unsigned int i = 0; i < rounds; i++) {
        uint64_t r = next_random();
        unsigned int cmd = known[r % 5];
        uint64_t address = addresses[(r >> 8) % 9];
        int rc;

        for (size_t j = 0; j < sizeof(page); j += 8) {
            uint64_t word = next_random();

            memcpy(page + j, &word, 8);
        }
        page[8] = page[9] = page[10] = page[11] = 0; /* a WAIT would only take long */
        if (r >> 16 & 1)
            cmd ^= 1u << (r >> 24 & 31);
        if (cmd == VGPU_IOC_ARENA && r >> 17 & 1)
            memset(page, (int)(r >> 40), 8);
        rc = ioctl(fd, cmd, address);
        surprises += rc == 0 && cmd != VGPU_IOC_INFO;
        /* Also read and written as a file. */
        if (i % 64 == 0)
            surprises += read(fd, page, sizeof(page)) >= 0 || write(fd, page, sizeof(page)) >= 0 ||
                         lseek(fd, 1, SEEK_SET) >= 0;
    }
    printf("garbage: %u surprises\n", surprises);
    fflush(stdout);
}

/* The 32-bit system call, as a 32-bit program on this kernel makes it. */
static long ioctl32(int file, unsigned int cmd, void *argument)
{
    long rc;

    __asm__ volatile("int $0x80"
                     : "=a"(rc)
                     : "a"(54), "b"(file), "c"(cmd), "d"((uint32_t)(uintptr_t)argument)
                     : "memory", "r8", "r9", "r10", "r11");
    if ((int)rc < 0) {
        errno = -(int)rc;
        return -1;
    }
    return rc;
}

static void compat(void)
{
    void *low =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    struct vgpu_ioc_info *i = low;
    struct vgpu_ioc_arena *a = low;

    if (ioctl32(fd, VGPU_IOC_INFO, i) < 0)
        report("compat-info", -1);
    else
        printf("compat-info: vm_id=%u arena_max=%llu\n", i->vm_id,
               (unsigned long long)i->arena_max);
    a->bytes = 3;
    report("compat-arena-3", (int)ioctl32(fd, VGPU_IOC_ARENA, a));
    a->bytes = 2 * MIB;
    report("compat-arena", (int)ioctl32(fd, VGPU_IOC_ARENA, a));
}

/* What a program may do to its mapping afterwards. */
static void remap(void)
{
    void *moved;

    report("madvise", madvise(arena, bytes, MADV_DONTNEED));
    check("after-madvise", 0, 7);
    moved = mremap(arena, bytes, bytes + 4096, MREMAP_MAYMOVE);
    report("grow", moved == MAP_FAILED ? -1 : 0);
    moved = mremap(arena, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x1e8000000000);
    report("move", moved == MAP_FAILED ? -1 : 0);
    if (moved != MAP_FAILED)
        arena = moved;
    check("after-move", 0, 7);
    report("split", munmap((char *)arena + bytes / 2, 4096));
    report("bell", ioctl(fd, VGPU_IOC_DOORBELL));
}

static int step(const char *device, const char *name, const char *value)
{
    uint64_t number = strtoull(value, NULL, 0);

    if (!strcmp(name, "open")) {
        fd = open(device, O_RDWR | O_CLOEXEC);
        report(name, fd);
    } else if (!strcmp(name, "open-inherited")) {
        fd = open(device, O_RDWR);
        report("open", fd);
    } else if (!strcmp(name, "info")) {
        info();
    } else if (!strcmp(name, "arena")) {
        bytes = number;
        report(name, take_arena(fd, bytes));
    } else if (!strcmp(name, "arena-mb")) {
        bytes = number * MIB;
        report("arena", take_arena(fd, bytes));
    } else if (!strcmp(name, "map")) {
        void *p;
        int rc = map(fd, bytes, number, &p);

        report(name, rc);
        if (rc == 0)
            arena = p;
    } else if (!strcmp(name, "map-rules")) {
        map_rules();
    } else if (!strcmp(name, "unmap")) {
        report(name, munmap(arena, bytes));
    } else if (!strcmp(name, "zero")) {
        check(name, 1, 0);
    } else if (!strcmp(name, "fill")) {
        fill(number);
    } else if (!strcmp(name, "check")) {
        check(name, 0, number);
    } else if (!strcmp(name, "connect")) {
        connect_channel();
    } else if (!strcmp(name, "bell")) {
        report(name, ioctl(fd, VGPU_IOC_DOORBELL));
    } else if (!strcmp(name, "wait")) {
        wait_event(name, (uint32_t)number);
    } else if (!strcmp(name, "until")) {
        until(value);
    } else if (!strcmp(name, "fork")) {
        forked();
    } else if (!strcmp(name, "orphan")) {
        orphan();
    } else if (!strcmp(name, "many")) {
        many(device, (int)number);
    } else if (!strcmp(name, "each")) {
        each(3, (int)number);
    } else if (!strcmp(name, "garbage")) {
        garbage((unsigned int)number);
    } else if (!strcmp(name, "compat")) {
        compat();
    } else if (!strcmp(name, "remap")) {
        remap();
    } else if (!strcmp(name, "exec")) {
        fflush(stdout);
        execl("/bin/sleep", "sleep", value, (char *)NULL);
        report(name, -1);
    } else if (!strcmp(name, "hold")) {
        report(name, 0);
        for (;;)
            pause();
    } else {
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *device = "/dev/vgpu0";

    for (int i = 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');

        if (equals)
            *equals = 0;
        if (step(device, argv[i], equals ? equals + 1 : "")) {
            fprintf(stderr, "vgpu_devtest: unknown step '%s'\n", argv[i]);
            return 2;
        }
    }
    return 0;
}
