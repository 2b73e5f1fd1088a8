/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device core against a device model that only records. What is lost when one of these fails:
 * the register contract with the guest driver, the message contract with the daemon, or the promise
 * that neither a guest nor a broken mediator can disturb the host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vgpu_stub_core.h"

#define SECOND_NS (1000ull * 1000 * 1000)
#define SENT_MAX 512
#define LINES_MAX 512

struct sent {
    uint8_t bytes[VGPU_LINK_MSG_MAX];
    size_t size;
    int fds[VGPU_LINK_FDS_MAX];
    unsigned int nfds;
};

/* A device model that keeps count of what the core asked of it. */
struct fake {
    struct vgpu_stub_core core;
    unsigned int raised[VGPU_MSIX_VECTORS];
    unsigned int guest_lines;
    unsigned int link_lines;
    char last_guest_line[256];
    char last_link_line[256];
    uint64_t now_ns;
    uint64_t eventfds;  /* bit n: channel n has its eventfds */
    uint64_t doorbells; /* bit n: doorbell of channel n enabled */
    unsigned int signalled[VGPU_CHANNELS];
    struct sent sent[SENT_MAX];
    unsigned int sent_count;
    unsigned int disconnects;
    struct vgpu_stub_region regions[VGPU_LINK_REGIONS];
    unsigned int region_count;
    bool fail_send;
    bool fail_eventfds;
};

static void fake_raise(void *opaque, unsigned int vector)
{
    struct fake *fake = opaque;

    assert_true(vector < VGPU_MSIX_VECTORS);
    fake->raised[vector]++;
}

static void fake_guest_error(void *opaque, const char *text)
{
    struct fake *fake = opaque;

    assert_null(strchr(text, '\n'));
    fake->guest_lines++;
    snprintf(fake->last_guest_line, sizeof(fake->last_guest_line), "%s", text);
}

static void fake_log(void *opaque, const char *text)
{
    struct fake *fake = opaque;

    assert_null(strchr(text, '\n'));
    fake->link_lines++;
    snprintf(fake->last_link_line, sizeof(fake->last_link_line), "%s", text);
}

static uint64_t fake_now_ns(void *opaque)
{
    return ((struct fake *)opaque)->now_ns;
}

static int fake_eventfds_create(void *opaque, unsigned int channel, int fds[2])
{
    struct fake *fake = opaque;

    assert_true(channel < VGPU_CHANNELS);
    if (fake->fail_eventfds) {
        return -1;
    }
    assert_false(fake->eventfds >> channel & 1);
    fake->eventfds |= 1ull << channel;
    fds[0] = 1000 + (int)channel;
    fds[1] = 2000 + (int)channel;
    return 0;
}

static void fake_doorbell_enable(void *opaque, unsigned int channel, bool on)
{
    struct fake *fake = opaque;

    assert_true(fake->eventfds >> channel & 1);
    assert_int_equal(fake->doorbells >> channel & 1, !on);
    fake->doorbells ^= 1ull << channel;
}

static void fake_doorbell_signal(void *opaque, unsigned int channel)
{
    struct fake *fake = opaque;

    assert_true(fake->eventfds >> channel & 1);
    fake->signalled[channel]++;
}

static void fake_eventfds_close(void *opaque, unsigned int channel)
{
    struct fake *fake = opaque;

    assert_true(fake->eventfds >> channel & 1);
    assert_false(fake->doorbells >> channel & 1);
    fake->eventfds &= ~(1ull << channel);
}

static int fake_send(void *opaque, const void *bytes, size_t size, const int *fds,
                     unsigned int nfds)
{
    struct fake *fake = opaque;
    struct sent *sent = &fake->sent[fake->sent_count % SENT_MAX];

    if (fake->fail_send) {
        return -1;
    }
    assert_true(size <= sizeof(sent->bytes));
    assert_true(nfds <= VGPU_LINK_FDS_MAX);
    memcpy(sent->bytes, bytes, size);
    sent->size = size;
    sent->nfds = nfds;
    if (nfds != 0) {
        memcpy(sent->fds, fds, nfds * sizeof(*fds));
    }
    fake->sent_count++;
    return 0;
}

static void fake_disconnect(void *opaque)
{
    ((struct fake *)opaque)->disconnects++;
}

static unsigned int fake_memory(void *opaque, struct vgpu_stub_region *regions)
{
    struct fake *fake = opaque;

    memcpy(regions, fake->regions, fake->region_count * sizeof(*regions));
    return fake->region_count;
}

static const struct vgpu_stub_ops fake_ops = {
    .raise = fake_raise,
    .guest_error = fake_guest_error,
    .log = fake_log,
    .now_ns = fake_now_ns,
    .eventfds_create = fake_eventfds_create,
    .doorbell_enable = fake_doorbell_enable,
    .doorbell_signal = fake_doorbell_signal,
    .eventfds_close = fake_eventfds_close,
    .send = fake_send,
    .disconnect = fake_disconnect,
    .memory = fake_memory,
};

static const struct vgpu_stub_identity good_id = {
    .vm_id = 7, .pool_id = 'A', .priority = 2, .backend = VGPU_BACKEND_MEMFD};

static int setup(void **state)
{
    struct fake *fake = calloc(1, sizeof(*fake));

    assert_non_null(fake);
    fake->now_ns = 5 * SECOND_NS;
    fake->region_count = 2;
    fake->regions[0] = (struct vgpu_stub_region){{0, 0xa0000, 0}, 50};
    fake->regions[1] = (struct vgpu_stub_region){{0x100000, 0x7f00000, 0x100000}, 51};
    vgpu_stub_init(&fake->core, &good_id, &fake_ops, fake);
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    struct fake *fake = *state;

    vgpu_stub_fini(&fake->core);
    assert_int_equal(fake->eventfds, 0);
    assert_int_equal(fake->doorbells, 0);
    free(fake);
    return 0;
}

static uint32_t get(struct fake *fake, uint32_t offset)
{
    uint64_t value = vgpu_stub_read(&fake->core, offset, 4);

    assert_true(value <= UINT32_MAX);
    return (uint32_t)value;
}

static void put(struct fake *fake, uint32_t offset, uint32_t value)
{
    vgpu_stub_write(&fake->core, offset, value, 4);
}

static void fill_table(struct fake *fake, uint32_t channel)
{
    put(fake, VGPU_REG_CH_SELECT, channel);
    put(fake, VGPU_REG_CH_TABLE_LO, 0x80001000u + channel * 8);
    put(fake, VGPU_REG_CH_TABLE_HI, 0x12);
    put(fake, VGPU_REG_CH_RUNS, 3);
    put(fake, VGPU_REG_CH_PAGES, 512);
}

static void command(struct fake *fake, uint32_t channel, uint32_t value)
{
    put(fake, VGPU_REG_CH_SELECT, channel);
    put(fake, VGPU_REG_CH_COMMAND, value);
}

static void expect_channel(struct fake *fake, uint32_t channel, uint32_t state, uint32_t reason)
{
    put(fake, VGPU_REG_CH_SELECT, channel);
    assert_int_equal(get(fake, VGPU_REG_CH_STATE), state);
    assert_int_equal(get(fake, VGPU_REG_CH_REASON), reason);
}

static void receive(struct fake *fake, const void *bytes, size_t size)
{
    vgpu_stub_link_receive(&fake->core, bytes, size, 0);
}

static struct vgpu_msg_welcome welcome_message(void)
{
    return (struct vgpu_msg_welcome){
        .msg = {VGPU_MSG_WELCOME, sizeof(struct vgpu_msg_welcome)},
        .version = VGPU_LINK_VERSION,
        .reason = VGPU_REASON_NONE,
    };
}

static struct vgpu_msg_channel_state state_message(uint32_t channel, uint32_t serial,
                                                   uint32_t state, uint32_t reason)
{
    return (struct vgpu_msg_channel_state){
        .msg = {VGPU_MSG_CHANNEL_STATE, sizeof(struct vgpu_msg_channel_state)},
        .channel = channel,
        .serial = serial,
        .state = state,
        .reason = reason,
    };
}

static void tell(struct fake *fake, uint32_t channel, uint32_t serial, uint32_t state,
                 uint32_t reason)
{
    struct vgpu_msg_channel_state message = state_message(channel, serial, state, reason);

    receive(fake, &message, sizeof(message));
}

/* A connected and welcomed mediator; forgets what was sent on the way. */
static void connect_mediator(struct fake *fake)
{
    struct vgpu_msg_welcome welcome = welcome_message();

    vgpu_stub_link_up(&fake->core);
    receive(fake, &welcome, sizeof(welcome));
    assert_int_equal(get(fake, VGPU_REG_STATUS), VGPU_STATUS_LINK);
    put(fake, VGPU_REG_ACK_CONTROL, 1);
    fake->sent_count = 0;
}

static const struct sent *last_sent(struct fake *fake, uint32_t type)
{
    const struct sent *sent = &fake->sent[(fake->sent_count - 1) % SENT_MAX];
    struct vgpu_msg head;

    assert_true(fake->sent_count > 0);
    memcpy(&head, sent->bytes, sizeof(head));
    assert_int_equal(head.type, type);
    assert_int_equal(head.size, sent->size);
    return sent;
}

static uint32_t last_open_serial(struct fake *fake)
{
    struct vgpu_msg_channel_open open;

    memcpy(&open, last_sent(fake, VGPU_MSG_CHANNEL_OPEN)->bytes, sizeof(open));
    return open.serial;
}

/* OPENING; returns the serial that the mediator was asked with. */
static uint32_t start_open(struct fake *fake, uint32_t channel)
{
    fill_table(fake, channel);
    command(fake, channel, VGPU_CH_CMD_OPEN);
    expect_channel(fake, channel, VGPU_CH_OPENING, VGPU_REASON_NONE);
    return last_open_serial(fake);
}

static uint32_t open_channel(struct fake *fake, uint32_t channel)
{
    uint32_t serial = start_open(fake, channel);

    tell(fake, channel, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, channel, VGPU_CH_OPEN, VGPU_REASON_NONE);
    return serial;
}

/* Everything a guest can see, to show that something had no effect. */
static void snapshot(struct fake *fake, uint32_t *values)
{
    uint32_t select = get(fake, VGPU_REG_CH_SELECT);
    static const uint32_t readable[] = {
        VGPU_REG_MAGIC,          VGPU_REG_ABI,
        VGPU_REG_POOL_ID,        VGPU_REG_PRIORITY,
        VGPU_REG_VM_ID,          VGPU_REG_FEATURES,
        VGPU_REG_STATUS,         VGPU_REG_CHANNELS,
        VGPU_REG_CH_SELECT,      VGPU_REG_CH_TABLE_LO,
        VGPU_REG_CH_TABLE_HI,    VGPU_REG_CH_RUNS,
        VGPU_REG_CH_PAGES,       VGPU_REG_CH_STATE,
        VGPU_REG_CH_REASON,      VGPU_REG_IRQ_CONTROL,
        VGPU_REG_IRQ_CHANNEL_LO, VGPU_REG_IRQ_CHANNEL_HI,
        VGPU_REG_IRQ_ENABLE,
    };
    size_t i;

    for (i = 0; i < sizeof(readable) / sizeof(readable[0]); i++) {
        *values++ = get(fake, readable[i]);
    }
    for (i = 0; i < VGPU_CHANNELS; i++) {
        put(fake, VGPU_REG_CH_SELECT, (uint32_t)i);
        *values++ = get(fake, VGPU_REG_CH_STATE);
    }
    put(fake, VGPU_REG_CH_SELECT, select);
}

#define SNAPSHOT_WORDS (19 + VGPU_CHANNELS)

static void identity_out_of_range_is_refused(void **state)
{
    struct vgpu_stub_identity id = good_id;
    static const uint32_t pools[] = {0, '@', '[', '`', '{', '7', 'A' + 256};
    size_t i;

    assert_null(vgpu_stub_check_identity(&id));
    id.backend = VGPU_BACKEND_GRANT;
    assert_null(vgpu_stub_check_identity(&id));
    id.backend = VGPU_BACKEND_LOCAL;
    assert_non_null(vgpu_stub_check_identity(&id));
    id = good_id;
    id.priority = 3;
    assert_non_null(vgpu_stub_check_identity(&id));
    id = good_id;
    id.vm_id = 0;
    assert_non_null(vgpu_stub_check_identity(&id));
    for (i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
        id = good_id;
        id.pool_id = pools[i];
        assert_non_null(vgpu_stub_check_identity(&id));
    }
}

static void registers_have_their_reset_values(void **state)
{
    struct fake *fake = *state;
    uint32_t offset;

    for (offset = 0; offset < VGPU_BAR0_BYTES; offset += 4) {
        uint32_t want = offset == VGPU_REG_MAGIC      ? 0x55504756
                        : offset == VGPU_REG_ABI      ? 0x00010000
                        : offset == VGPU_REG_POOL_ID  ? 'A'
                        : offset == VGPU_REG_PRIORITY ? 2
                        : offset == VGPU_REG_VM_ID    ? 7
                        : offset == VGPU_REG_FEATURES ? VGPU_FEATURE_GUEST_PHYSICAL
                        : offset == VGPU_REG_CHANNELS ? 64
                                                      : 0;

        assert_int_equal(get(fake, offset), want);
    }
    assert_int_equal(fake->guest_lines, 5); /* the five write-only registers, nothing else */
}

static void a_device_with_grants_says_so_and_sends_no_memory(void **state)
{
    struct fake *fake = *state;
    struct vgpu_stub_identity id = good_id;
    struct vgpu_stub_ops ops = fake_ops;

    id.backend = VGPU_BACKEND_GRANT;
    ops.memory = NULL;
    vgpu_stub_init(&fake->core, &id, &ops, fake);
    assert_int_equal(get(fake, VGPU_REG_FEATURES), VGPU_FEATURE_GRANTS);
    vgpu_stub_link_up(&fake->core);
    assert_int_equal(fake->sent_count, 1);
    last_sent(fake, VGPU_MSG_HELLO);
    vgpu_stub_memory_changed(&fake->core);
    assert_int_equal(fake->sent_count, 1);
    connect_mediator(fake);
    open_channel(fake, 0);
    vgpu_stub_fini(&fake->core);
}

static void writes_to_read_only_and_reserved_registers_do_nothing(void **state)
{
    struct fake *fake = *state;
    uint32_t before[SNAPSHOT_WORDS], after[SNAPSHOT_WORDS];
    uint32_t offset;

    connect_mediator(fake);
    open_channel(fake, 9);
    for (offset = 0; offset < VGPU_BAR0_BYTES; offset += 4) {
        unsigned int lines = fake->guest_lines;
        bool writable = (offset >= VGPU_REG_CH_SELECT && offset <= VGPU_REG_CH_COMMAND) ||
                        offset == VGPU_REG_DOORBELL ||
                        (offset >= VGPU_REG_ACK_CONTROL && offset <= VGPU_REG_ACK_CHANNEL_HI) ||
                        offset == VGPU_REG_IRQ_ENABLE;

        if (writable) {
            continue;
        }
        fake->now_ns += 100 * SECOND_NS;
        snapshot(fake, before);
        put(fake, offset, 0xffffffff);
        put(fake, offset, 0);
        snapshot(fake, after);
        assert_memory_equal(before, after, sizeof(before));
        assert_int_equal(fake->guest_lines, lines + 2);
    }
}

static void accesses_of_other_sizes_and_places_do_nothing(void **state)
{
    struct fake *fake = *state;
    static const struct {
        uint64_t offset;
        unsigned int size;
    } bad[] = {{0, 1},
               {0, 2},
               {0, 8},
               {1, 4},
               {2, 4},
               {3, 4},
               {2, 2},
               {0x20, 1},
               {0x20, 2},
               {0x20, 8},
               {0x34, 1},
               {0x34, 8},
               {0x70, 2},
               {0x71, 4},
               {0x40, 1},
               {0x40, 2},
               {0x40, 8},
               {0xffd, 4},
               {0xffe, 4},
               {0xfff, 1},
               {0x1000, 4},
               {0x1000, 1},
               {0x1020, 4},
               {1ull << 32, 4},
               {(1ull << 32) + 0x20, 4},
               {UINT64_MAX, 4},
               {UINT64_MAX - 3, 4},
               {0, 0},
               {0x20, 3},
               {0, 64}};
    uint32_t before[SNAPSHOT_WORDS], after[SNAPSHOT_WORDS];
    size_t i;

    connect_mediator(fake);
    open_channel(fake, 1);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned int lines = fake->guest_lines, sent = fake->sent_count;

        fake->now_ns += 100 * SECOND_NS;
        snapshot(fake, before);
        assert_int_equal(vgpu_stub_read(&fake->core, bad[i].offset, bad[i].size), 0);
        vgpu_stub_write(&fake->core, bad[i].offset, 1, bad[i].size);
        snapshot(fake, after);
        assert_memory_equal(before, after, sizeof(before));
        assert_int_equal(fake->guest_lines, lines + 2);
        assert_int_equal(fake->sent_count, sent);
    }
    assert_int_equal(fake->signalled[1], 0);
}

static void bad_values_do_nothing(void **state)
{
    struct fake *fake = *state;
    static const struct {
        uint32_t offset, value;
    } bad[] = {
        {VGPU_REG_CH_SELECT, VGPU_CHANNELS},
        {VGPU_REG_CH_SELECT, UINT32_MAX},
        {VGPU_REG_CH_TABLE_LO, 1},
        {VGPU_REG_CH_TABLE_LO, 4},
        {VGPU_REG_CH_TABLE_LO, UINT32_MAX},
        {VGPU_REG_CH_RUNS, 0},
        {VGPU_REG_CH_RUNS, VGPU_RUNS_MAX + 1},
        {VGPU_REG_CH_RUNS, UINT32_MAX},
        {VGPU_REG_CH_PAGES, 0},
        {VGPU_REG_CH_PAGES, VGPU_PAGES_MAX + 1},
        {VGPU_REG_CH_PAGES, UINT32_MAX},
        {VGPU_REG_CH_COMMAND, 0},
        {VGPU_REG_CH_COMMAND, 3},
        {VGPU_REG_CH_COMMAND, UINT32_MAX},
        {VGPU_REG_DOORBELL, VGPU_CHANNELS},
        {VGPU_REG_DOORBELL, UINT32_MAX},
        {VGPU_REG_IRQ_ENABLE, 2},
        {VGPU_REG_IRQ_ENABLE, UINT32_MAX},
    };
    uint32_t before[SNAPSHOT_WORDS], after[SNAPSHOT_WORDS];
    size_t i;

    connect_mediator(fake);
    fill_table(fake, 63);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned int lines = fake->guest_lines, sent = fake->sent_count;

        fake->now_ns += 100 * SECOND_NS;
        snapshot(fake, before);
        put(fake, bad[i].offset, bad[i].value);
        snapshot(fake, after);
        assert_memory_equal(before, after, sizeof(before));
        assert_int_equal(fake->guest_lines, lines + 1);
        assert_int_equal(fake->sent_count, sent);
    }
}

static void each_channel_has_its_own_registers(void **state)
{
    struct fake *fake = *state;
    uint32_t i;

    for (i = 0; i < VGPU_CHANNELS; i++) {
        put(fake, VGPU_REG_CH_SELECT, i);
        put(fake, VGPU_REG_CH_TABLE_LO, i * 8);
        put(fake, VGPU_REG_CH_TABLE_HI, ~i);
        put(fake, VGPU_REG_CH_RUNS, i + 1);
        put(fake, VGPU_REG_CH_PAGES, VGPU_PAGES_MAX - i);
    }
    for (i = 0; i < VGPU_CHANNELS; i++) {
        put(fake, VGPU_REG_CH_SELECT, i);
        assert_int_equal(get(fake, VGPU_REG_CH_SELECT), i);
        assert_int_equal(get(fake, VGPU_REG_CH_TABLE_LO), i * 8);
        assert_int_equal(get(fake, VGPU_REG_CH_TABLE_HI), (uint32_t)~i);
        assert_int_equal(get(fake, VGPU_REG_CH_RUNS), i + 1);
        assert_int_equal(get(fake, VGPU_REG_CH_PAGES), VGPU_PAGES_MAX - i);
    }
    put(fake, VGPU_REG_CH_RUNS, VGPU_RUNS_MAX);
    assert_int_equal(get(fake, VGPU_REG_CH_RUNS), VGPU_RUNS_MAX);
    assert_int_equal(fake->guest_lines, 0);
}

static void open_without_a_mediator_ends_with_no_mediator(void **state)
{
    struct fake *fake = *state;

    put(fake, VGPU_REG_IRQ_ENABLE, 1);
    fill_table(fake, 5);
    command(fake, 5, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 5, VGPU_CH_DEAD, VGPU_REASON_NO_MEDIATOR);
    assert_int_equal(fake->raised[0], 1);
    command(fake, 5, VGPU_CH_CMD_CLOSE);
    expect_channel(fake, 5, VGPU_CH_FREE, VGPU_REASON_NONE);

    /* Connected is not enough: it has to accept the device first. */
    vgpu_stub_link_up(&fake->core);
    command(fake, 5, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 5, VGPU_CH_DEAD, VGPU_REASON_NO_MEDIATOR);
    assert_int_equal(get(fake, VGPU_REG_STATUS), 0);
}

static void a_mediator_is_greeted_with_identity_and_memory(void **state)
{
    struct fake *fake = *state;
    struct vgpu_msg_hello hello;
    struct vgpu_msg_memory memory;

    vgpu_stub_link_up(&fake->core);
    vgpu_stub_link_up(&fake->core); /* reported twice: greeted once */
    assert_int_equal(fake->sent_count, 2);
    assert_int_equal(fake->sent[0].size, sizeof(hello));
    assert_int_equal(fake->sent[0].nfds, 0);
    memcpy(&hello, fake->sent[0].bytes, sizeof(hello));
    assert_int_equal(hello.msg.type, VGPU_MSG_HELLO);
    assert_int_equal(hello.magic, VGPU_LINK_MAGIC);
    assert_int_equal(hello.version, VGPU_LINK_VERSION);
    assert_int_equal(hello.backend, VGPU_BACKEND_MEMFD);
    assert_int_equal(hello.vm_id, 7);
    assert_int_equal(hello.pool_id, 'A');
    assert_int_equal(hello.priority, 2);

    assert_int_equal(last_sent(fake, VGPU_MSG_MEMORY)->size, 16 + 2 * sizeof(struct vgpu_region));
    memcpy(&memory, fake->sent[1].bytes, fake->sent[1].size);
    assert_int_equal(memory.count, 2);
    assert_int_equal(memory.reserved, 0);
    assert_memory_equal(&memory.regions[0], &fake->regions[0].where, sizeof(struct vgpu_region));
    assert_memory_equal(&memory.regions[1], &fake->regions[1].where, sizeof(struct vgpu_region));
    assert_int_equal(fake->sent[1].nfds, 2);
    assert_int_equal(fake->sent[1].fds[0], 50);
    assert_int_equal(fake->sent[1].fds[1], 51);
}

static void open_asks_the_mediator_and_its_answer_opens(void **state)
{
    struct fake *fake = *state;
    struct vgpu_msg_channel_open open;
    const struct sent *sent;
    uint32_t serial;

    connect_mediator(fake);
    put(fake, VGPU_REG_IRQ_ENABLE, 1);
    serial = start_open(fake, 63);
    sent = last_sent(fake, VGPU_MSG_CHANNEL_OPEN);
    memcpy(&open, sent->bytes, sizeof(open));
    assert_int_equal(sent->size, 32);
    assert_int_equal(open.channel, 63);
    assert_int_equal(open.table_address, 0x1280001000ull + 63 * 8);
    assert_int_equal(open.runs, 3);
    assert_int_equal(open.pages, 512);
    assert_int_equal(sent->nfds, 2);
    assert_int_equal(sent->fds[0], 1063);
    assert_int_equal(sent->fds[1], 2063);
    assert_int_equal(fake->raised[0], 0);

    put(fake, VGPU_REG_DOORBELL, 63);
    assert_int_equal(fake->signalled[63], 0); /* not open yet */
    tell(fake, 63, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 63, VGPU_CH_OPEN, VGPU_REASON_NONE);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CONTROL), 1);
    assert_int_equal(fake->raised[0], 1);
    assert_int_equal(fake->doorbells, 1ull << 63);
    put(fake, VGPU_REG_DOORBELL, 63);
    put(fake, VGPU_REG_DOORBELL, 62);
    assert_int_equal(fake->signalled[63], 1);
    assert_int_equal(fake->signalled[62], 0);
    assert_int_equal(fake->guest_lines, 0);
}

static void a_refused_open_tells_why_and_can_be_tried_again(void **state)
{
    struct fake *fake = *state;
    uint32_t reason, serial = 0;

    connect_mediator(fake);
    for (reason = VGPU_REASON_NONE; reason <= VGPU_REASON_LAST; reason++) {
        uint32_t next = start_open(fake, 2);

        assert_int_not_equal(next, serial);
        serial = next;
        tell(fake, 2, serial, VGPU_CH_DEAD, reason);
        expect_channel(fake, 2, VGPU_CH_DEAD, reason);
        assert_int_equal(fake->eventfds, 0);
        command(fake, 2, VGPU_CH_CMD_CLOSE);
        expect_channel(fake, 2, VGPU_CH_CLOSING, VGPU_REASON_NONE);
        last_sent(fake, VGPU_MSG_CHANNEL_CLOSE);
        tell(fake, 2, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
        expect_channel(fake, 2, VGPU_CH_FREE, VGPU_REASON_NONE);
    }
}

static void a_channel_that_the_host_ends_is_dead_with_a_reason(void **state)
{
    struct fake *fake = *state;
    uint32_t serial;

    connect_mediator(fake);
    serial = open_channel(fake, 4);
    put(fake, VGPU_REG_ACK_CONTROL, 1);
    tell(fake, 4, serial, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    expect_channel(fake, 4, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CONTROL), 1);
    put(fake, VGPU_REG_DOORBELL, 4);
    assert_int_equal(fake->signalled[4], 0);
    assert_int_equal(fake->disconnects, 0);
}

/* A dying worker may still write to the pages: they are the guest's again only with FREE. */
static void a_dead_channel_is_free_only_when_the_mediator_has_let_go(void **state)
{
    struct fake *fake = *state;
    uint32_t serial;

    connect_mediator(fake);
    serial = open_channel(fake, 4);
    tell(fake, 4, serial, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    command(fake, 4, VGPU_CH_CMD_CLOSE);
    expect_channel(fake, 4, VGPU_CH_CLOSING, VGPU_REASON_NONE);
    tell(fake, 4, serial, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    expect_channel(fake, 4, VGPU_CH_CLOSING, VGPU_REASON_NONE);
    tell(fake, 4, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 4, VGPU_CH_FREE, VGPU_REASON_NONE);

    /* It may say so unasked, and then there is nothing to wait for. */
    serial = open_channel(fake, 4);
    tell(fake, 4, serial, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    tell(fake, 4, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 4, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    fake->sent_count = 0;
    command(fake, 4, VGPU_CH_CMD_CLOSE);
    expect_channel(fake, 4, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_equal(fake->sent_count, 0);

    /* A reset does not make it forget either. */
    serial = open_channel(fake, 4);
    tell(fake, 4, serial, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    vgpu_stub_reset(&fake->core);
    last_sent(fake, VGPU_MSG_CHANNEL_CLOSE);
    fill_table(fake, 4);
    command(fake, 4, VGPU_CH_CMD_OPEN);
    last_sent(fake, VGPU_MSG_CHANNEL_CLOSE);
    tell(fake, 4, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_not_equal(last_open_serial(fake), serial);
    assert_int_equal(fake->disconnects, 0);
}

static void close_waits_for_the_mediator_to_let_go(void **state)
{
    struct fake *fake = *state;
    struct vgpu_msg_channel_close close;
    uint32_t serial;

    connect_mediator(fake);
    serial = open_channel(fake, 3);
    put(fake, VGPU_REG_ACK_CONTROL, 1);
    command(fake, 3, VGPU_CH_CMD_CLOSE);
    expect_channel(fake, 3, VGPU_CH_CLOSING, VGPU_REASON_NONE);
    memcpy(&close, last_sent(fake, VGPU_MSG_CHANNEL_CLOSE)->bytes, sizeof(close));
    assert_int_equal(close.channel, 3);
    assert_int_equal(close.serial, serial);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CONTROL), 0);
    put(fake, VGPU_REG_DOORBELL, 3);
    assert_int_equal(fake->signalled[3], 0);
    command(fake, 3, VGPU_CH_CMD_CLOSE);
    command(fake, 3, VGPU_CH_CMD_OPEN);
    assert_int_equal(fake->guest_lines, 2);
    expect_channel(fake, 3, VGPU_CH_CLOSING, VGPU_REASON_NONE);
    tell(fake, 3, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 3, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CONTROL), 1);
    open_channel(fake, 3);
}

static void answers_that_cross_a_close_are_understood(void **state)
{
    struct fake *fake = *state;
    uint32_t serial;

    connect_mediator(fake);
    serial = start_open(fake, 0);
    command(fake, 0, VGPU_CH_CMD_CLOSE);
    tell(fake, 0, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 0, VGPU_CH_CLOSING, VGPU_REASON_NONE);
    tell(fake, 0, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 0, VGPU_CH_FREE, VGPU_REASON_NONE);

    serial = open_channel(fake, 0);
    command(fake, 0, VGPU_CH_CMD_CLOSE);
    tell(fake, 0, serial, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    expect_channel(fake, 0, VGPU_CH_CLOSING, VGPU_REASON_NONE);
    tell(fake, 0, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 0, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_equal(fake->disconnects, 0);
}

static void commands_in_the_wrong_state_do_nothing(void **state)
{
    struct fake *fake = *state;

    connect_mediator(fake);
    command(fake, 0, VGPU_CH_CMD_CLOSE);
    expect_channel(fake, 0, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_equal(fake->guest_lines, 1);
    start_open(fake, 0);
    command(fake, 0, VGPU_CH_CMD_OPEN);
    assert_int_equal(fake->guest_lines, 2);
    assert_int_equal(fake->sent_count, 1);
    expect_channel(fake, 0, VGPU_CH_OPENING, VGPU_REASON_NONE);
}

static void open_with_an_impossible_table_is_refused(void **state)
{
    struct fake *fake = *state;

    connect_mediator(fake);
    command(fake, 0, VGPU_CH_CMD_OPEN); /* never filled */
    expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_BAD_TABLE);
    fill_table(fake, 1);
    put(fake, VGPU_REG_CH_RUNS, 4);
    put(fake, VGPU_REG_CH_PAGES, 3); /* a run has at least one page */
    command(fake, 1, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 1, VGPU_CH_DEAD, VGPU_REASON_BAD_TABLE);
    fill_table(fake, 2);
    put(fake, VGPU_REG_CH_TABLE_LO, 0xfffffff8); /* the table would wrap around */
    put(fake, VGPU_REG_CH_TABLE_HI, 0xffffffff);
    command(fake, 2, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 2, VGPU_CH_DEAD, VGPU_REASON_BAD_TABLE);
    assert_int_equal(fake->sent_count, 0);
    assert_int_equal(fake->guest_lines, 3);
}

static void answers_with_another_serial_are_ignored(void **state)
{
    struct fake *fake = *state;
    uint32_t serial;

    connect_mediator(fake);
    serial = start_open(fake, 8);
    tell(fake, 8, serial - 1, VGPU_CH_OPEN, VGPU_REASON_NONE);
    tell(fake, 8, serial + 1, VGPU_CH_DEAD, VGPU_REASON_GPU);
    tell(fake, 9, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 8, VGPU_CH_OPENING, VGPU_REASON_NONE);
    expect_channel(fake, 9, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_equal(fake->disconnects, 0);
    tell(fake, 8, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 8, VGPU_CH_OPEN, VGPU_REASON_NONE);
}

/* The link must be gone, its channels dead, and the next mediator welcome. */
static void expect_dropped(struct fake *fake)
{
    assert_int_equal(fake->disconnects, 1);
    assert_int_equal(get(fake, VGPU_REG_STATUS), 0);
    assert_non_null(strstr(fake->last_link_line, "mediator disconnected: "));
    fake->disconnects = 0;
    vgpu_stub_reset(&fake->core);
    connect_mediator(fake);
    open_channel(fake, 0);
    assert_int_equal(fake->disconnects, 0);
    vgpu_stub_link_down(&fake->core);
    vgpu_stub_reset(&fake->core);
}

static void messages_out_of_order_end_the_link(void **state)
{
    struct fake *fake = *state;
    struct vgpu_msg_welcome welcome = welcome_message();
    uint32_t serial;

    vgpu_stub_link_up(&fake->core);
    tell(fake, 0, 0, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_dropped(fake);

    connect_mediator(fake);
    receive(fake, &welcome, sizeof(welcome));
    expect_dropped(fake);

    connect_mediator(fake);
    serial = start_open(fake, 0);
    tell(fake, 0, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
    expect_dropped(fake);

    connect_mediator(fake);
    serial = open_channel(fake, 0);
    tell(fake, 0, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_dropped(fake);

    connect_mediator(fake);
    serial = open_channel(fake, 0);
    tell(fake, 0, serial, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_dropped(fake);

    connect_mediator(fake);
    serial = open_channel(fake, 0);
    tell(fake, 0, serial, VGPU_CH_DEAD, VGPU_REASON_GPU);
    tell(fake, 0, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_GPU);
    expect_dropped(fake);
}

static void messages_with_bad_values_end_the_link(void **state)
{
    struct fake *fake = *state;
    static const struct {
        uint32_t channel, state, reason;
    } bad[] = {
        {VGPU_CHANNELS, VGPU_CH_FREE, 0},
        {UINT32_MAX, VGPU_CH_FREE, 0},
        {0, VGPU_CH_OPENING, 0},
        {0, VGPU_CH_CLOSING, 0},
        {0, VGPU_CH_DEAD + 1, 0},
        {0, UINT32_MAX, 0},
        {0, VGPU_CH_DEAD, VGPU_REASON_LAST + 1},
        {0, VGPU_CH_DEAD, UINT32_MAX},
        {0, 256 + VGPU_CH_OPEN, 0},
    };
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint32_t serial;

        connect_mediator(fake);
        serial = start_open(fake, 0);
        tell(fake, bad[i].channel, serial, bad[i].state, bad[i].reason);
        expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
        expect_dropped(fake);
    }
}

static void messages_of_bad_type_or_size_end_the_link(void **state)
{
    struct fake *fake = *state;
    static const struct vgpu_msg bad[] = {
        {0, 16},
        {VGPU_MSG_HELLO, 32},
        {VGPU_MSG_MEMORY, 40},
        {VGPU_MSG_CHANNEL_OPEN, 32},
        {VGPU_MSG_CHANNEL_CLOSE, 16},
        {15, 16},
        {18, 24},
        {UINT32_MAX, 24},
        {VGPU_MSG_WELCOME, 0},
        {VGPU_MSG_WELCOME, 7},
        {VGPU_MSG_WELCOME, 8},
        {VGPU_MSG_WELCOME, 15},
        {VGPU_MSG_WELCOME, 17},
        {VGPU_MSG_WELCOME, 512},
        {VGPU_MSG_WELCOME, 513},
        {VGPU_MSG_WELCOME, UINT32_MAX},
        {VGPU_MSG_CHANNEL_STATE, 16},
        {VGPU_MSG_CHANNEL_STATE, 23},
        {VGPU_MSG_CHANNEL_STATE, 25},
        {VGPU_MSG_CHANNEL_STATE, UINT32_MAX},
    };
    uint8_t bytes[600];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, &bad[i], sizeof(bad[i]));
        vgpu_stub_link_up(&fake->core);
        receive(fake, bytes, sizeof(bytes));
        expect_dropped(fake);
    }
}

static void descriptors_from_the_mediator_end_the_link(void **state)
{
    struct fake *fake = *state;
    struct vgpu_msg_welcome welcome = welcome_message();

    vgpu_stub_link_up(&fake->core);
    vgpu_stub_link_receive(&fake->core, &welcome, sizeof(welcome), 1);
    expect_dropped(fake);
}

static void messages_arrive_in_pieces_of_any_size(void **state)
{
    struct fake *fake = *state;
    size_t piece;

    for (piece = 1; piece <= 64; piece++) {
        struct vgpu_msg_welcome welcome = welcome_message();
        struct vgpu_msg_channel_state messages[2];
        uint8_t bytes[sizeof(welcome) + sizeof(messages)];
        uint32_t first, second;
        size_t done;

        vgpu_stub_link_up(&fake->core);
        for (done = 0; done < sizeof(welcome); done += piece) {
            size_t take = sizeof(welcome) - done < piece ? sizeof(welcome) - done : piece;

            assert_int_equal(get(fake, VGPU_REG_STATUS), 0);
            receive(fake, (uint8_t *)&welcome + done, take);
        }
        assert_int_equal(get(fake, VGPU_REG_STATUS), VGPU_STATUS_LINK);
        first = start_open(fake, 1);
        second = start_open(fake, 2);
        messages[0] = state_message(1, first, VGPU_CH_OPEN, 0);
        messages[1] = state_message(2, second, VGPU_CH_DEAD, VGPU_REASON_LIMIT);
        memcpy(bytes, messages, sizeof(messages));
        for (done = 0; done < sizeof(messages); done += piece) {
            receive(fake, bytes + done,
                    sizeof(messages) - done < piece ? sizeof(messages) - done : piece);
        }
        expect_channel(fake, 1, VGPU_CH_OPEN, VGPU_REASON_NONE);
        expect_channel(fake, 2, VGPU_CH_DEAD, VGPU_REASON_LIMIT);
        receive(fake, bytes,
                piece < sizeof(messages[0]) ? piece : 1); /* half a message, then gone */
        vgpu_stub_link_down(&fake->core);
        assert_int_equal(fake->disconnects, 0);
        vgpu_stub_reset(&fake->core);
    }
}

static void bytes_after_a_dropped_link_are_not_looked_at(void **state)
{
    struct fake *fake = *state;
    struct {
        struct vgpu_msg bad;
        struct vgpu_msg_welcome welcome;
    } bytes = {{99, 8}, welcome_message()};

    vgpu_stub_link_up(&fake->core);
    receive(fake, &bytes, sizeof(bytes));
    assert_int_equal(fake->disconnects, 1);
    receive(fake, &bytes.welcome, sizeof(bytes.welcome));
    assert_int_equal(get(fake, VGPU_REG_STATUS), 0);
}

static void a_mediator_may_serve_no_channels(void **state)
{
    struct fake *fake = *state;
    struct vgpu_msg_welcome welcome = welcome_message();

    welcome.version = 99;
    welcome.reason = VGPU_REASON_VERSION;
    vgpu_stub_link_up(&fake->core);
    receive(fake, &welcome, sizeof(welcome));
    assert_int_equal(get(fake, VGPU_REG_STATUS), 0);
    assert_int_equal(fake->disconnects, 0);
    fill_table(fake, 0);
    command(fake, 0, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_VERSION);

    vgpu_stub_link_down(&fake->core);
    welcome.reason = VGPU_REASON_NONE; /* a version that is not ours and no refusal */
    vgpu_stub_link_up(&fake->core);
    receive(fake, &welcome, sizeof(welcome));
    expect_dropped(fake);

    welcome.version = VGPU_LINK_VERSION;
    welcome.reason = VGPU_REASON_LAST + 1;
    vgpu_stub_link_up(&fake->core);
    receive(fake, &welcome, sizeof(welcome));
    expect_dropped(fake);
}

static void losing_the_link_ends_every_channel(void **state)
{
    struct fake *fake = *state;
    uint32_t serial;

    connect_mediator(fake);
    put(fake, VGPU_REG_IRQ_ENABLE, 1);
    start_open(fake, 10);
    serial = open_channel(fake, 11);
    open_channel(fake, 12);
    command(fake, 12, VGPU_CH_CMD_CLOSE);
    put(fake, VGPU_REG_ACK_CONTROL, 1);
    fake->raised[0] = 0;
    vgpu_stub_link_down(&fake->core);
    assert_int_equal(fake->raised[0], 1);
    assert_int_equal(get(fake, VGPU_REG_STATUS), 0);
    expect_channel(fake, 10, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
    expect_channel(fake, 11, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
    expect_channel(fake, 12, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 13, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_equal(fake->eventfds, 0);
    vgpu_stub_link_down(&fake->core);
    assert_int_equal(fake->raised[0], 1);
    assert_int_equal(fake->disconnects, 0); /* it was not ours to end */

    connect_mediator(fake);
    tell(fake, 11, serial + 100, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 11, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
    command(fake, 11, VGPU_CH_CMD_CLOSE);
    open_channel(fake, 11);
}

static void a_mediator_that_takes_no_messages_is_dropped(void **state)
{
    struct fake *fake = *state;

    connect_mediator(fake);
    open_channel(fake, 0);
    fake->fail_send = true;
    fill_table(fake, 1);
    command(fake, 1, VGPU_CH_CMD_OPEN);
    fake->fail_send = false;
    expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
    expect_channel(fake, 1, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
    expect_dropped(fake);

    connect_mediator(fake);
    open_channel(fake, 0);
    fake->fail_send = true;
    command(fake, 0, VGPU_CH_CMD_CLOSE);
    fake->fail_send = false;
    expect_channel(fake, 0, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_dropped(fake);

    fake->fail_send = true;
    vgpu_stub_link_up(&fake->core);
    fake->fail_send = false;
    expect_dropped(fake);

    connect_mediator(fake);
    open_channel(fake, 0);
    open_channel(fake, 1);
    fake->fail_send = true;
    vgpu_stub_reset(&fake->core);
    fake->fail_send = false;
    expect_channel(fake, 0, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_channel(fake, 1, VGPU_CH_FREE, VGPU_REASON_NONE);
    expect_dropped(fake);
}

static void open_without_eventfds_is_refused(void **state)
{
    struct fake *fake = *state;

    connect_mediator(fake);
    fill_table(fake, 0);
    fake->fail_eventfds = true;
    command(fake, 0, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_LIMIT);
    assert_int_equal(fake->sent_count, 0);
}

static void reset_frees_channels_and_clears_registers(void **state)
{
    struct fake *fake = *state;
    struct vgpu_msg_channel_close close;
    uint32_t offset, serial;

    connect_mediator(fake);
    put(fake, VGPU_REG_IRQ_ENABLE, 1);
    serial = open_channel(fake, 6);
    vgpu_stub_interrupt(&fake->core, 6);
    fill_table(fake, 6);
    memset(fake->raised, 0, sizeof(fake->raised));
    vgpu_stub_reset(&fake->core);
    memcpy(&close, last_sent(fake, VGPU_MSG_CHANNEL_CLOSE)->bytes, sizeof(close));
    assert_int_equal(close.channel, 6);
    assert_int_equal(close.serial, serial);
    assert_int_equal(fake->eventfds, 0);
    assert_int_equal(get(fake, VGPU_REG_STATUS),
                     VGPU_STATUS_LINK); /* the link is the host's, it stays */
    for (offset = VGPU_REG_CH_SELECT; offset < VGPU_BAR0_BYTES; offset += 4) {
        assert_int_equal(get(fake, offset), 0);
    }
    put(fake, VGPU_REG_CH_SELECT, 6);
    for (offset = VGPU_REG_CH_TABLE_LO; offset <= VGPU_REG_CH_REASON; offset += 4) {
        assert_int_equal(get(fake, offset), 0);
    }
    put(fake, VGPU_REG_DOORBELL, 6);
    assert_int_equal(fake->signalled[6], 0);
    assert_int_equal(fake->raised[0], 0);
    vgpu_stub_reset(&fake->core); /* nothing left: nothing said */
    assert_int_equal(fake->sent_count, 2);
}

static void an_open_after_reset_waits_for_the_old_pages(void **state)
{
    struct fake *fake = *state;
    uint32_t old, serial;

    connect_mediator(fake);
    old = open_channel(fake, 6);
    vgpu_stub_reset(&fake->core);
    fill_table(fake, 6);
    command(fake, 6, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 6, VGPU_CH_OPENING, VGPU_REASON_NONE);
    last_sent(fake, VGPU_MSG_CHANNEL_CLOSE); /* OPEN held back */
    tell(fake, 6, old, VGPU_CH_OPEN, VGPU_REASON_NONE);
    tell(fake, 6, old + 1, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 6, VGPU_CH_OPENING, VGPU_REASON_NONE);
    tell(fake, 6, old, VGPU_CH_FREE, VGPU_REASON_NONE);
    serial = last_open_serial(fake);
    assert_int_not_equal(serial, old);
    tell(fake, 6, serial, VGPU_CH_OPEN, VGPU_REASON_NONE);
    expect_channel(fake, 6, VGPU_CH_OPEN, VGPU_REASON_NONE);

    /* Closed, and reset, while it is held back. */
    old = serial;
    vgpu_stub_reset(&fake->core);
    fill_table(fake, 6);
    command(fake, 6, VGPU_CH_CMD_OPEN);
    command(fake, 6, VGPU_CH_CMD_CLOSE);
    expect_channel(fake, 6, VGPU_CH_FREE, VGPU_REASON_NONE);
    command(fake, 6, VGPU_CH_CMD_OPEN);
    vgpu_stub_reset(&fake->core);
    expect_channel(fake, 6, VGPU_CH_FREE, VGPU_REASON_NONE);
    fill_table(fake, 6);
    command(fake, 6, VGPU_CH_CMD_OPEN);
    tell(fake, 6, old, VGPU_CH_DEAD, VGPU_REASON_WORKER_DIED);
    last_sent(fake, VGPU_MSG_CHANNEL_CLOSE);
    tell(fake, 6, old, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_not_equal(last_open_serial(fake), old);
    expect_channel(fake, 6, VGPU_CH_OPENING, VGPU_REASON_NONE);

    /* And the link may go meanwhile. */
    vgpu_stub_reset(&fake->core);
    fill_table(fake, 6);
    command(fake, 6, VGPU_CH_CMD_OPEN);
    vgpu_stub_link_down(&fake->core);
    expect_channel(fake, 6, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
    vgpu_stub_reset(&fake->core);
    connect_mediator(fake);
    open_channel(fake, 6);
}

static void reset_while_closing_keeps_waiting_for_the_mediator(void **state)
{
    struct fake *fake = *state;
    uint32_t old;

    connect_mediator(fake);
    old = open_channel(fake, 1);
    command(fake, 1, VGPU_CH_CMD_CLOSE);
    fake->sent_count = 0;
    vgpu_stub_reset(&fake->core);
    assert_int_equal(fake->sent_count, 0); /* said already */
    expect_channel(fake, 1, VGPU_CH_FREE, VGPU_REASON_NONE);
    fill_table(fake, 1);
    command(fake, 1, VGPU_CH_CMD_OPEN);
    assert_int_equal(fake->sent_count, 0);
    tell(fake, 1, old, VGPU_CH_FREE, VGPU_REASON_NONE);
    assert_int_not_equal(last_open_serial(fake), old);
}

static void a_channel_interrupt_raises_its_vector_once(void **state)
{
    struct fake *fake = *state;
    uint32_t i;

    connect_mediator(fake);
    put(fake, VGPU_REG_IRQ_ENABLE, 1);
    for (i = 0; i < VGPU_CHANNELS; i++) {
        uint32_t status = i < 32 ? VGPU_REG_IRQ_CHANNEL_LO : VGPU_REG_IRQ_CHANNEL_HI;
        uint32_t ack = i < 32 ? VGPU_REG_ACK_CHANNEL_LO : VGPU_REG_ACK_CHANNEL_HI;

        vgpu_stub_interrupt(&fake->core, i); /* not open */
        assert_int_equal(get(fake, status), 0);
        open_channel(fake, i);
        memset(fake->raised, 0, sizeof(fake->raised));
        vgpu_stub_interrupt(&fake->core, i);
        vgpu_stub_interrupt(&fake->core, i);
        assert_int_equal(fake->raised[1 + i % 8], 1);
        assert_int_equal(get(fake, status), 1u << i % 32);
        put(fake, ack, ~(1u << i % 32));
        assert_int_equal(get(fake, status), 1u << i % 32);
        put(fake, ack, 1u << i % 32);
        assert_int_equal(get(fake, status), 0);
        vgpu_stub_interrupt(&fake->core, i);
        assert_int_equal(fake->raised[1 + i % 8], 2);
        put(fake, ack, UINT32_MAX);
        assert_int_equal(fake->raised[0], 0);
    }
    vgpu_stub_interrupt(&fake->core, VGPU_CHANNELS);
    vgpu_stub_interrupt(&fake->core, UINT32_MAX);
}

static void masked_interrupts_are_kept_and_raised_when_enabled(void **state)
{
    struct fake *fake = *state;

    connect_mediator(fake);
    open_channel(fake, 3);
    open_channel(fake, 11);
    open_channel(fake, 36);
    vgpu_stub_interrupt(&fake->core, 3);
    vgpu_stub_interrupt(&fake->core, 11);
    vgpu_stub_interrupt(&fake->core, 36);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CONTROL), 1);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CHANNEL_LO), 1u << 3 | 1u << 11);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CHANNEL_HI), 1u << 4);
    assert_int_equal(fake->raised[4] + fake->raised[5] + fake->raised[0], 0);
    put(fake, VGPU_REG_IRQ_ENABLE, 1);
    put(fake, VGPU_REG_IRQ_ENABLE, 1);
    assert_int_equal(fake->raised[0], 1);
    assert_int_equal(fake->raised[4], 1); /* channels 3 and 11 share it */
    assert_int_equal(fake->raised[5], 1);
    put(fake, VGPU_REG_IRQ_ENABLE, 0);
    put(fake, VGPU_REG_ACK_CONTROL, UINT32_MAX);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CONTROL), 0);
    vgpu_stub_link_down(&fake->core);
    assert_int_equal(get(fake, VGPU_REG_IRQ_CONTROL), 1);
    assert_int_equal(fake->raised[0], 1);
}

static void a_guest_cannot_flood_the_log(void **state)
{
    struct fake *fake = *state;
    unsigned int i, before;

    for (i = 0; i < 1000000; i++) {
        put(fake, VGPU_REG_MAGIC, i);
        if (i % 1000 == 0) {
            vgpu_stub_reset(&fake->core); /* which the guest can do as well */
        }
    }
    assert_int_equal(fake->guest_lines, 20);
    fake->now_ns += 11 * SECOND_NS;
    put(fake, VGPU_REG_MAGIC, 1);
    assert_int_equal(fake->guest_lines, 21);
    assert_non_null(strstr(fake->last_guest_line, "999980 lines before"));
    put(fake, VGPU_REG_MAGIC, 1);
    assert_int_equal(fake->guest_lines, 21);
    fake->now_ns += 100000 * SECOND_NS; /* a long silence earns one burst, no more */
    for (i = 0; i < 1000; i++) {
        put(fake, VGPU_REG_MAGIC, i);
    }
    assert_int_equal(fake->guest_lines, 41);

    before = fake->link_lines;
    for (i = 0; i < 10000; i++) { /* a mediator that comes and goes, likewise */
        vgpu_stub_link_up(&fake->core);
        vgpu_stub_link_down(&fake->core);
    }
    assert_true(fake->link_lines - before <= 40);
}

static void a_changed_map_is_sent_again(void **state)
{
    struct fake *fake = *state;
    unsigned int i;

    vgpu_stub_memory_changed(&fake->core); /* nobody to tell */
    assert_int_equal(fake->sent_count, 0);
    connect_mediator(fake);
    fake->region_count = 1;
    vgpu_stub_memory_changed(&fake->core);
    assert_int_equal(fake->sent_count, 1);
    assert_int_equal(last_sent(fake, VGPU_MSG_MEMORY)->nfds, 1);
    for (i = 0; i < 1000; i++) {
        vgpu_stub_memory_changed(&fake->core);
    }
    assert_true(fake->sent_count <= 16);
    fake->region_count = VGPU_LINK_REGIONS;
    vgpu_stub_memory_changed(&fake->core); /* beyond the limit: told when a channel needs it */
    assert_true(fake->sent_count <= 16);
    fake->sent_count = 0;
    start_open(fake, 0);
    assert_int_equal(fake->sent_count, 2);
    assert_int_equal(fake->sent[0].nfds, VGPU_LINK_REGIONS);
    assert_int_equal(fake->sent[0].size, sizeof(struct vgpu_msg_memory));
    start_open(fake, 1);
    assert_int_equal(fake->sent_count, 3);
}

static void guest_memory_that_cannot_be_shared_refuses_channels(void **state)
{
    struct fake *fake = *state;

    fake->region_count = 0;
    vgpu_stub_link_up(&fake->core);
    assert_int_equal(fake->sent_count, 1);
    last_sent(fake, VGPU_MSG_HELLO);
    assert_non_null(strstr(fake->last_link_line, "shared memory"));
    fill_table(fake, 0);
    command(fake, 0, VGPU_CH_CMD_OPEN);
    expect_channel(fake, 0, VGPU_CH_DEAD, VGPU_REASON_REFUSED);
    assert_int_equal(fake->sent_count, 1);
    assert_int_equal(fake->disconnects, 0);
}

static void the_end_of_the_device_ends_the_link(void **state)
{
    struct fake *fake = *state;

    connect_mediator(fake);
    open_channel(fake, 0);
    vgpu_stub_fini(&fake->core);
    assert_int_equal(fake->disconnects, 1);
    assert_int_equal(fake->eventfds, 0);
    vgpu_stub_fini(&fake->core);
    assert_int_equal(fake->disconnects, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity_out_of_range_is_refused),
        TEST(registers_have_their_reset_values),
        TEST(a_device_with_grants_says_so_and_sends_no_memory),
        TEST(writes_to_read_only_and_reserved_registers_do_nothing),
        TEST(accesses_of_other_sizes_and_places_do_nothing),
        TEST(bad_values_do_nothing),
        TEST(each_channel_has_its_own_registers),
        TEST(open_without_a_mediator_ends_with_no_mediator),
        TEST(a_mediator_is_greeted_with_identity_and_memory),
        TEST(open_asks_the_mediator_and_its_answer_opens),
        TEST(a_refused_open_tells_why_and_can_be_tried_again),
        TEST(a_channel_that_the_host_ends_is_dead_with_a_reason),
        TEST(a_dead_channel_is_free_only_when_the_mediator_has_let_go),
        TEST(close_waits_for_the_mediator_to_let_go),
        TEST(answers_that_cross_a_close_are_understood),
        TEST(commands_in_the_wrong_state_do_nothing),
        TEST(open_with_an_impossible_table_is_refused),
        TEST(answers_with_another_serial_are_ignored),
        TEST(messages_out_of_order_end_the_link),
        TEST(messages_with_bad_values_end_the_link),
        TEST(messages_of_bad_type_or_size_end_the_link),
        TEST(descriptors_from_the_mediator_end_the_link),
        TEST(messages_arrive_in_pieces_of_any_size),
        TEST(bytes_after_a_dropped_link_are_not_looked_at),
        TEST(a_mediator_may_serve_no_channels),
        TEST(losing_the_link_ends_every_channel),
        TEST(a_mediator_that_takes_no_messages_is_dropped),
        TEST(open_without_eventfds_is_refused),
        TEST(reset_frees_channels_and_clears_registers),
        TEST(an_open_after_reset_waits_for_the_old_pages),
        TEST(reset_while_closing_keeps_waiting_for_the_mediator),
        TEST(a_channel_interrupt_raises_its_vector_once),
        TEST(masked_interrupts_are_kept_and_raised_when_enabled),
        TEST(a_guest_cannot_flood_the_log),
        TEST(a_changed_map_is_sent_again),
        TEST(guest_memory_that_cannot_be_shared_refuses_channels),
        TEST(the_end_of_the_device_ends_the_link),
    };

    return cmocka_run_group_tests_name("device core", tests, NULL, NULL);
}
