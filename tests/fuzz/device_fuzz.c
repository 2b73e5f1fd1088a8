/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest and a mediator that do anything in any order, against the device core. Besides what the
 * sanitizers see, after every step: eventfds exist exactly for the channels the mediator knows as
 * open or opening, doorbells are enabled exactly for open ones, and without a link nothing is open.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vgpu_stub_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            __builtin_trap();                                                                      \
        }                                                                                          \
    } while (0)

struct model {
    struct vgpu_stub_core core;
    uint64_t eventfds;
    uint64_t doorbells;
    uint64_t now_ns;
    unsigned int regions;
    bool fail_send;
    bool fail_eventfds;
};

static void model_raise(void *opaque, unsigned int vector)
{
    struct model *model = opaque;

    CHECK(vector < VGPU_MSIX_VECTORS);
    CHECK(model->core.irq_enable == 1);
}

static void model_line(void *opaque, const char *text)
{
    CHECK(strlen(text) < 300 && strchr(text, '\n') == NULL);
}

static uint64_t model_now_ns(void *opaque)
{
    struct model *model = opaque;

    return model->now_ns += 1000000;
}

static int model_eventfds_create(void *opaque, unsigned int channel, int fds[2])
{
    struct model *model = opaque;

    if (model->fail_eventfds) {
        return -1;
    }
    CHECK(channel < VGPU_CHANNELS && !(model->eventfds >> channel & 1));
    model->eventfds |= 1ull << channel;
    fds[0] = 3;
    fds[1] = 4;
    return 0;
}

static void model_doorbell_enable(void *opaque, unsigned int channel, bool on)
{
    struct model *model = opaque;

    CHECK((model->eventfds >> channel & 1) && (model->doorbells >> channel & 1) == !on);
    model->doorbells ^= 1ull << channel;
}

static void model_doorbell_signal(void *opaque, unsigned int channel)
{
    struct model *model = opaque;

    CHECK(model->doorbells >> channel & 1);
}

static void model_eventfds_close(void *opaque, unsigned int channel)
{
    struct model *model = opaque;

    CHECK((model->eventfds >> channel & 1) && !(model->doorbells >> channel & 1));
    model->eventfds &= ~(1ull << channel);
}

static int model_send(void *opaque, const void *bytes, size_t size, const int *fds,
                      unsigned int nfds)
{
    struct model *model = opaque;
    struct vgpu_msg head;

    CHECK(model->core.link != VGPU_STUB_LINK_DOWN);
    CHECK(size >= sizeof(head) && size <= VGPU_LINK_MSG_MAX && nfds <= VGPU_LINK_FDS_MAX);
    memcpy(&head, bytes, sizeof(head));
    CHECK(head.size == size);
    return model->fail_send ? -1 : 0;
}

static void model_disconnect(void *opaque)
{
    struct model *model = opaque;

    CHECK(model->core.link == VGPU_STUB_LINK_DOWN);
}

static unsigned int model_memory(void *opaque, struct vgpu_stub_region *regions)
{
    struct model *model = opaque;
    unsigned int i;

    for (i = 0; i < model->regions; i++) {
        regions[i] = (struct vgpu_stub_region){{i * 4096ull, 4096, 0}, 5};
    }
    return model->regions;
}

static const struct vgpu_stub_ops model_ops = {
    .raise = model_raise,
    .guest_error = model_line,
    .log = model_line,
    .now_ns = model_now_ns,
    .eventfds_create = model_eventfds_create,
    .doorbell_enable = model_doorbell_enable,
    .doorbell_signal = model_doorbell_signal,
    .eventfds_close = model_eventfds_close,
    .send = model_send,
    .disconnect = model_disconnect,
    .memory = model_memory,
};

struct input {
    const uint8_t *data;
    size_t left;
};

static uint64_t take(struct input *input, unsigned int bytes)
{
    uint64_t value = 0;

    while (bytes-- > 0 && input->left > 0) {
        value = value << 8 | *input->data++;
        input->left--;
    }
    return value;
}

static void check(struct model *model)
{
    const struct vgpu_stub_core *core = &model->core;
    unsigned int i;

    CHECK(core->open_channels == model->doorbells);
    CHECK(core->select < VGPU_CHANNELS && core->irq_control <= 1 && core->irq_enable <= 1);
    for (i = 0; i < VGPU_CHANNELS; i++) {
        const struct vgpu_stub_channel *channel = &core->channels[i];
        bool open = channel->state == VGPU_CH_OPEN;
        bool asked = open || (channel->state == VGPU_CH_OPENING && !channel->draining);

        CHECK(channel->state <= VGPU_CH_DEAD && channel->reason <= VGPU_REASON_LAST);
        CHECK(channel->reason == VGPU_REASON_NONE || channel->state == VGPU_CH_DEAD);
        CHECK((core->open_channels >> i & 1) == open);
        CHECK((model->eventfds >> i & 1) == asked);
        CHECK(channel->has_eventfds == asked);
        CHECK(!asked || channel->held);
        CHECK(!(channel->held && channel->draining));
        CHECK(channel->state != VGPU_CH_CLOSING || channel->held);
        CHECK(channel->state != VGPU_CH_FREE ||
              !channel->held); /* what the guest may reuse is unmapped */
        CHECK(channel->runs <= VGPU_RUNS_MAX && channel->pages <= VGPU_PAGES_MAX);
        CHECK(channel->table % 8 == 0);
        if (core->link != VGPU_STUB_LINK_READY) {
            CHECK(channel->state == VGPU_CH_FREE || channel->state == VGPU_CH_DEAD);
            CHECK(!channel->draining && !channel->held);
        }
    }
}

static void step(struct model *model, struct input *input)
{
    struct vgpu_stub_core *core = &model->core;
    uint8_t op = (uint8_t)take(input, 1);

    switch (op % 16) {
    case 0:
        vgpu_stub_read(core, take(input, 2), (unsigned int)take(input, 1) % 9);
        break;
    case 1:
        vgpu_stub_write(core, take(input, 8), take(input, 8), (unsigned int)take(input, 1));
        break;
    case 2:
        vgpu_stub_write(core, take(input, 1) * 4, take(input, 4), 4);
        break;
    case 3: { /* a channel made ready for OPEN, then a command */
        vgpu_stub_write(core, VGPU_REG_CH_SELECT, take(input, 1) % 4, 4);
        vgpu_stub_write(core, VGPU_REG_CH_TABLE_LO, 4096, 4);
        vgpu_stub_write(core, VGPU_REG_CH_RUNS, 1, 4);
        vgpu_stub_write(core, VGPU_REG_CH_PAGES, 1, 4);
        vgpu_stub_write(core, VGPU_REG_CH_COMMAND, 1 + take(input, 1) % 2, 4);
        break;
    }
    case 4:
        vgpu_stub_write(core, VGPU_REG_DOORBELL, take(input, 1) % 5, 4);
        break;
    case 5:
        vgpu_stub_link_up(core);
        break;
    case 6:
        vgpu_stub_link_down(core);
        break;
    case 7: { /* raw bytes */
        size_t bytes = take(input, 1);

        if (bytes > input->left) {
            bytes = input->left;
        }
        vgpu_stub_link_receive(core, input->data, bytes,
                               op & 0x80 ? (unsigned int)take(input, 1) : 0);
        if (bytes > input->left) {
            bytes = input->left;
        }
        input->data += bytes;
        input->left -= bytes;
        break;
    }
    case 8: {
        struct vgpu_msg_welcome welcome = {
            {VGPU_MSG_WELCOME, sizeof(welcome)}, VGPU_LINK_VERSION, 0};

        welcome.reason = (uint32_t)(op >> 4);
        vgpu_stub_link_receive(core, &welcome, sizeof(welcome), 0);
        break;
    }
    case 9:
    case 10: { /* a plausible answer, in two pieces */
        uint32_t index = take(input, 1) % 4;
        struct vgpu_msg_channel_state answer = {
            {VGPU_MSG_CHANNEL_STATE, sizeof(answer)}, index, 0, 0, 0};
        size_t cut = take(input, 1) % sizeof(answer);

        answer.serial =
            op & 0x80 ? core->channels[index].drain_serial : core->channels[index].serial;
        answer.state = (uint32_t)take(input, 1) % 5;
        answer.reason = op >> 4 & 7;
        vgpu_stub_link_receive(core, &answer, cut, 0);
        vgpu_stub_link_receive(core, (const uint8_t *)&answer + cut, sizeof(answer) - cut, 0);
        break;
    }
    case 11:
        vgpu_stub_interrupt(core, (unsigned int)take(input, 1));
        break;
    case 12:
        vgpu_stub_reset(core);
        break;
    case 13:
        model->regions = (unsigned int)take(input, 1) % (VGPU_LINK_REGIONS + 1);
        vgpu_stub_memory_changed(core);
        break;
    case 14:
        model->fail_send = op >> 4 == 1;
        model->fail_eventfds = op >> 4 == 2;
        break;
    default:
        vgpu_stub_write(core, VGPU_REG_IRQ_ENABLE, op >> 4 & 1, 4);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vgpu_stub_identity id = {1, 'B', 0, VGPU_BACKEND_MEMFD};
    struct input input = {data, size};
    struct model *model = calloc(1, sizeof(*model));

    if (model == NULL) {
        return 0;
    }
    model->regions = 1;
    vgpu_stub_init(&model->core, &id, &model_ops, model);
    while (input.left > 0) {
        step(model, &input);
        check(model);
    }
    vgpu_stub_fini(&model->core);
    CHECK(model->eventfds == 0 && model->doorbells == 0);
    free(model);
    return 0;
}
