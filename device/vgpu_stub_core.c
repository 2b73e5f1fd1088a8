/* SPDX-License-Identifier: GPL-2.0 */
#include "vgpu_stub_core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 200

#define GUEST_LOG_BURST 20
#define GUEST_LOG_INTERVAL_NS (10ull * 1000 * 1000 * 1000)
#define LINK_LOG_BURST 40
#define LINK_LOG_INTERVAL_NS (1000ull * 1000 * 1000)
/* A guest can change its own RAM map (chipset registers), so unasked MEMORY messages are limited
 * too. */
#define MEMORY_BURST 16
#define MEMORY_INTERVAL_NS (1000ull * 1000 * 1000)

#define IRQ_CONTROL_BIT 1u
#define IRQ_ENABLE_BIT 1u

/* Each message has one size on the wire; a compiler that pads differently must not go unnoticed. */
typedef char vgpu_welcome_is_16_bytes[sizeof(struct vgpu_msg_welcome) == 16 ? 1 : -1];
typedef char vgpu_state_is_24_bytes[sizeof(struct vgpu_msg_channel_state) == 24 ? 1 : -1];
typedef char vgpu_open_is_32_bytes[sizeof(struct vgpu_msg_channel_open) == 32 ? 1 : -1];
typedef char vgpu_memory_is_208_bytes[sizeof(struct vgpu_msg_memory) == 208 ? 1 : -1];

static bool limit_take(struct vgpu_stub_core *core, struct vgpu_stub_limit *limit, uint32_t burst,
                       uint64_t interval_ns)
{
    uint64_t now = core->ops->now_ns(core->opaque);

    if (now > limit->refilled_ns && now - limit->refilled_ns >= interval_ns) {
        uint64_t earned = (now - limit->refilled_ns) / interval_ns;

        limit->tokens = earned >= burst - limit->tokens ? burst : limit->tokens + (uint32_t)earned;
        limit->refilled_ns += earned * interval_ns;
    }
    if (limit->tokens == 0) {
        limit->suppressed++;
        return false;
    }
    limit->tokens--;
    return true;
}

static void limit_init(struct vgpu_stub_core *core, struct vgpu_stub_limit *limit, uint32_t burst)
{
    limit->tokens = burst;
    limit->refilled_ns = core->ops->now_ns(core->opaque);
    limit->suppressed = 0;
}

static void format_line(char line[LINE_MAX_BYTES], uint64_t *suppressed, const char *format,
                        va_list args)
{
    int length = vsnprintf(line, LINE_MAX_BYTES, format, args);

    if (length < 0) {
        line[0] = 0;
    } else if (*suppressed != 0 && length < LINE_MAX_BYTES) {
        snprintf(line + length, (size_t)(LINE_MAX_BYTES - length),
                 " (%" PRIu64 " lines before this one were not logged)", *suppressed);
    }
    *suppressed = 0;
}

__attribute__((format(printf, 2, 3))) static void guest_error(struct vgpu_stub_core *core,
                                                              const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    if (!limit_take(core, &core->guest_limit, GUEST_LOG_BURST, GUEST_LOG_INTERVAL_NS)) {
        return;
    }
    va_start(args, format);
    format_line(line, &core->guest_limit.suppressed, format, args);
    va_end(args);
    core->ops->guest_error(core->opaque, line);
}

__attribute__((format(printf, 2, 3))) static void link_log(struct vgpu_stub_core *core,
                                                           const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    if (!limit_take(core, &core->link_limit, LINK_LOG_BURST, LINK_LOG_INTERVAL_NS)) {
        return;
    }
    va_start(args, format);
    format_line(line, &core->link_limit.suppressed, format, args);
    va_end(args);
    core->ops->log(core->opaque, line);
}

static void raise_control(struct vgpu_stub_core *core)
{
    bool was_set = core->irq_control & IRQ_CONTROL_BIT;

    core->irq_control |= IRQ_CONTROL_BIT;
    if (!was_set && (core->irq_enable & IRQ_ENABLE_BIT)) {
        core->ops->raise(core->opaque, 0);
    }
}

static unsigned int channel_vector(unsigned int channel)
{
    return 1 + channel % (VGPU_MSIX_VECTORS - 1);
}

static void eventfds_close(struct vgpu_stub_core *core, unsigned int index)
{
    struct vgpu_stub_channel *channel = &core->channels[index];

    if (!channel->has_eventfds) {
        return;
    }
    if (core->ops->doorbell_enable && channel->state == VGPU_CH_OPEN) {
        core->ops->doorbell_enable(core->opaque, index, false);
    }
    core->ops->eventfds_close(core->opaque, index);
    channel->has_eventfds = false;
}

/* The one place where a channel's state changes; it does not raise anything. */
static void set_state(struct vgpu_stub_core *core, unsigned int index, uint8_t state,
                      uint32_t reason)
{
    struct vgpu_stub_channel *channel = &core->channels[index];

    if (state != VGPU_CH_OPENING && state != VGPU_CH_OPEN) {
        eventfds_close(core, index);
    }
    if (state == VGPU_CH_OPEN) {
        core->open_channels |= 1ull << index;
    } else {
        core->open_channels &= ~(1ull << index);
    }
    channel->state = state;
    channel->reason = (uint8_t)reason;
    if (state == VGPU_CH_OPEN && core->ops->doorbell_enable) {
        core->ops->doorbell_enable(core->opaque, index, true);
    }
}

/* The connection is no more: what depended on it ends. */
static void link_forget(struct vgpu_stub_core *core)
{
    bool changed = core->link == VGPU_STUB_LINK_READY;
    unsigned int i;

    core->link = VGPU_STUB_LINK_DOWN;
    core->in_used = 0;
    for (i = 0; i < VGPU_CHANNELS; i++) {
        struct vgpu_stub_channel *channel = &core->channels[i];

        channel->draining = false;
        channel->held = false;
        if (channel->state == VGPU_CH_OPENING || channel->state == VGPU_CH_OPEN) {
            set_state(core, i, VGPU_CH_DEAD, VGPU_REASON_LINK_LOST);
            changed = true;
        } else if (channel->state == VGPU_CH_CLOSING) {
            set_state(core, i, VGPU_CH_FREE, VGPU_REASON_NONE);
            changed = true;
        }
    }
    if (changed) {
        raise_control(core);
    }
}

__attribute__((format(printf, 2, 3))) static void link_fail(struct vgpu_stub_core *core,
                                                            const char *format, ...)
{
    char why[LINE_MAX_BYTES - 40];
    va_list args;

    if (core->link == VGPU_STUB_LINK_DOWN) {
        return;
    }
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    link_log(core, "mediator disconnected: %s", why);
    link_forget(core);
    core->ops->disconnect(core->opaque);
}

/* False: the link was lost over it. */
static bool link_send(struct vgpu_stub_core *core, void *message, uint32_t type, size_t size,
                      const int *fds, unsigned int nfds)
{
    struct vgpu_msg head;

    head.type = type;
    head.size = (uint32_t)size;
    memcpy(message, &head, sizeof(head));
    if (core->ops->send(core->opaque, message, size, fds, nfds) != 0) {
        link_fail(core, "message type %u could not be queued, the mediator does not read", type);
        return false;
    }
    return true;
}

static bool needs_memory(const struct vgpu_stub_core *core)
{
    return core->id.backend == VGPU_BACKEND_MEMFD;
}

static bool memory_is_shareable(struct vgpu_stub_core *core)
{
    struct vgpu_stub_region regions[VGPU_LINK_REGIONS];

    return !needs_memory(core) || core->ops->memory(core->opaque, regions) != 0;
}

/* Tells the mediator of guest RAM. False: the link was lost over it. */
static bool send_memory(struct vgpu_stub_core *core)
{
    struct vgpu_stub_region regions[VGPU_LINK_REGIONS];
    struct vgpu_msg_memory message;
    int fds[VGPU_LINK_REGIONS];
    unsigned int count = core->ops->memory(core->opaque, regions);
    unsigned int i;

    if (count == 0) {
        return true; /* an OPEN is refused before it could need any */
    }
    if (count > VGPU_LINK_REGIONS) {
        count = VGPU_LINK_REGIONS;
    }
    memset(&message, 0, sizeof(message));
    message.count = count;
    for (i = 0; i < count; i++) {
        message.regions[i] = regions[i].where;
        fds[i] = regions[i].fd;
    }
    core->memory_stale = false;
    return link_send(core, &message, VGPU_MSG_MEMORY,
                     offsetof(struct vgpu_msg_memory, regions) + count * sizeof(message.regions[0]),
                     fds, count);
}

static bool send_close(struct vgpu_stub_core *core, unsigned int index)
{
    struct vgpu_msg_channel_close message;

    memset(&message, 0, sizeof(message));
    message.channel = index;
    message.serial = core->channels[index].serial;
    return link_send(core, &message, VGPU_MSG_CHANNEL_CLOSE, sizeof(message), NULL, 0);
}

static void refuse(struct vgpu_stub_core *core, unsigned int index, uint32_t reason)
{
    set_state(core, index, VGPU_CH_DEAD, reason);
    raise_control(core);
}

/* The channel is OPENING and nothing of its past is left at the mediator: ask. */
static void submit_open(struct vgpu_stub_core *core, unsigned int index)
{
    struct vgpu_stub_channel *channel = &core->channels[index];
    struct vgpu_msg_channel_open message;
    int fds[2];

    if (core->ops->eventfds_create(core->opaque, index, fds) != 0) {
        link_log(core, "channel %u refused: no eventfds", index);
        refuse(core, index, VGPU_REASON_LIMIT);
        return;
    }
    channel->has_eventfds = true;
    channel->serial = core->next_serial++;
    memset(&message, 0, sizeof(message));
    message.channel = index;
    message.serial = channel->serial;
    message.table_address = channel->table;
    message.runs = channel->runs;
    message.pages = channel->pages;
    if (core->memory_stale && !send_memory(core)) {
        return;
    }
    channel->held = true;
    link_send(core, &message, VGPU_MSG_CHANNEL_OPEN, sizeof(message), fds, 2);
}

static void command_open(struct vgpu_stub_core *core, unsigned int index)
{
    struct vgpu_stub_channel *channel = &core->channels[index];

    if (channel->state != VGPU_CH_FREE) {
        guest_error(core, "OPEN of channel %u in state %u", index, channel->state);
        return;
    }
    if (channel->runs == 0 || channel->pages == 0 || channel->runs > channel->pages ||
        channel->table > UINT64_MAX - (uint64_t)channel->runs * sizeof(struct vgpu_run)) {
        guest_error(core, "OPEN of channel %u with %u runs at 0x%" PRIx64 " for %u pages", index,
                    channel->runs, channel->table, channel->pages);
        refuse(core, index, VGPU_REASON_BAD_TABLE);
        return;
    }
    if (!memory_is_shareable(core)) {
        link_log(core, "channel %u refused: guest RAM is not in shared memory", index);
        refuse(core, index, VGPU_REASON_REFUSED);
        return;
    }
    if (core->link != VGPU_STUB_LINK_READY) {
        refuse(core, index,
               core->link == VGPU_STUB_LINK_REFUSED ? core->refused_reason
                                                    : VGPU_REASON_NO_MEDIATOR);
        return;
    }
    core->irq_channels &= ~(1ull << index);
    set_state(core, index, VGPU_CH_OPENING, VGPU_REASON_NONE);
    if (!channel->draining) {
        submit_open(core, index);
    }
}

static void command_close(struct vgpu_stub_core *core, unsigned int index)
{
    struct vgpu_stub_channel *channel = &core->channels[index];

    if (channel->state == VGPU_CH_FREE || channel->state == VGPU_CH_CLOSING) {
        guest_error(core, "CLOSE of channel %u in state %u", index, channel->state);
        return;
    }
    if (!channel->held) { /* the mediator never heard of it, or has let go */
        set_state(core, index, VGPU_CH_FREE, VGPU_REASON_NONE);
        return;
    }
    set_state(core, index, VGPU_CH_CLOSING, VGPU_REASON_NONE);
    send_close(core, index);
}

static uint32_t channel_status_half(const struct vgpu_stub_core *core, bool high)
{
    return (uint32_t)(core->irq_channels >> (high ? 32 : 0));
}

uint64_t vgpu_stub_read(struct vgpu_stub_core *core, uint64_t offset, unsigned int size)
{
    const struct vgpu_stub_channel *channel = &core->channels[core->select];

    if (size != 4 || offset % 4 != 0 || offset >= VGPU_BAR0_BYTES) {
        guest_error(core, "read of %u bytes at 0x%" PRIx64, size, offset);
        return 0;
    }
    switch (offset) {
    case VGPU_REG_MAGIC:
        return VGPU_MAGIC;
    case VGPU_REG_ABI:
        return VGPU_ABI;
    case VGPU_REG_POOL_ID:
        return core->id.pool_id;
    case VGPU_REG_PRIORITY:
        return core->id.priority;
    case VGPU_REG_VM_ID:
        return core->id.vm_id;
    case VGPU_REG_FEATURES:
        return core->id.backend == VGPU_BACKEND_GRANT ? VGPU_FEATURE_GRANTS
                                                      : VGPU_FEATURE_GUEST_PHYSICAL;
    case VGPU_REG_STATUS:
        return core->link == VGPU_STUB_LINK_READY ? VGPU_STATUS_LINK : 0;
    case VGPU_REG_CHANNELS:
        return VGPU_CHANNELS;
    case VGPU_REG_CH_SELECT:
        return core->select;
    case VGPU_REG_CH_TABLE_LO:
        return (uint32_t)channel->table;
    case VGPU_REG_CH_TABLE_HI:
        return channel->table >> 32;
    case VGPU_REG_CH_RUNS:
        return channel->runs;
    case VGPU_REG_CH_PAGES:
        return channel->pages;
    case VGPU_REG_CH_STATE:
        return channel->state;
    case VGPU_REG_CH_REASON:
        return channel->reason;
    case VGPU_REG_IRQ_CONTROL:
        return core->irq_control;
    case VGPU_REG_IRQ_CHANNEL_LO:
        return channel_status_half(core, false);
    case VGPU_REG_IRQ_CHANNEL_HI:
        return channel_status_half(core, true);
    case VGPU_REG_IRQ_ENABLE:
        return core->irq_enable;
    case VGPU_REG_CH_COMMAND:
    case VGPU_REG_DOORBELL:
    case VGPU_REG_ACK_CONTROL:
    case VGPU_REG_ACK_CHANNEL_LO:
    case VGPU_REG_ACK_CHANNEL_HI:
        guest_error(core, "read of write-only register 0x%" PRIx64, offset);
        return 0;
    default:
        return 0;
    }
}

/* What became pending while interrupts were off is raised when they are turned on, so none is lost.
 */
static void write_irq_enable(struct vgpu_stub_core *core, uint32_t value)
{
    uint32_t vectors = 0;
    unsigned int i;

    if (value == core->irq_enable) {
        return;
    }
    core->irq_enable = value;
    if (!(value & IRQ_ENABLE_BIT)) {
        return;
    }
    if (core->irq_control & IRQ_CONTROL_BIT) {
        vectors |= 1u;
    }
    for (i = 0; i < VGPU_CHANNELS; i++) {
        if (core->irq_channels >> i & 1) {
            vectors |= 1u << channel_vector(i);
        }
    }
    for (i = 0; i < VGPU_MSIX_VECTORS; i++) {
        if (vectors >> i & 1) {
            core->ops->raise(core->opaque, i);
        }
    }
}

void vgpu_stub_write(struct vgpu_stub_core *core, uint64_t offset, uint64_t wide, unsigned int size)
{
    struct vgpu_stub_channel *channel = &core->channels[core->select];
    uint32_t value = (uint32_t)wide;
    bool good;

    if (size != 4 || offset % 4 != 0 || offset >= VGPU_BAR0_BYTES) {
        guest_error(core, "write of %u bytes at 0x%" PRIx64, size, offset);
        return;
    }
    switch (offset) {
    case VGPU_REG_DOORBELL:
        good = value < VGPU_CHANNELS;
        if (good && (core->open_channels >> value & 1)) {
            core->ops->doorbell_signal(core->opaque, value);
        }
        break;
    case VGPU_REG_ACK_CONTROL:
        core->irq_control &= ~value;
        return;
    case VGPU_REG_ACK_CHANNEL_LO:
        core->irq_channels &= ~(uint64_t)value;
        return;
    case VGPU_REG_ACK_CHANNEL_HI:
        core->irq_channels &= ~((uint64_t)value << 32);
        return;
    case VGPU_REG_CH_SELECT:
        good = value < VGPU_CHANNELS;
        if (good) {
            core->select = value;
        }
        break;
    case VGPU_REG_CH_TABLE_LO:
        good = value % 8 == 0;
        if (good) {
            channel->table = (channel->table & ~(uint64_t)UINT32_MAX) | value;
        }
        break;
    case VGPU_REG_CH_TABLE_HI:
        channel->table = (channel->table & UINT32_MAX) | (uint64_t)value << 32;
        return;
    case VGPU_REG_CH_RUNS:
        good = value >= 1 && value <= VGPU_RUNS_MAX;
        if (good) {
            channel->runs = value;
        }
        break;
    case VGPU_REG_CH_PAGES:
        good = value >= 1 && value <= VGPU_PAGES_MAX;
        if (good) {
            channel->pages = value;
        }
        break;
    case VGPU_REG_CH_COMMAND:
        good = value == VGPU_CH_CMD_OPEN || value == VGPU_CH_CMD_CLOSE;
        if (value == VGPU_CH_CMD_OPEN) {
            command_open(core, core->select);
        } else if (value == VGPU_CH_CMD_CLOSE) {
            command_close(core, core->select);
        }
        break;
    case VGPU_REG_IRQ_ENABLE:
        good = !(value & ~IRQ_ENABLE_BIT);
        if (good) {
            write_irq_enable(core, value);
        }
        break;
    default:
        guest_error(core, "write of 0x%x to read-only or reserved register 0x%" PRIx64, value,
                    offset);
        return;
    }
    if (!good) {
        guest_error(core, "bad value 0x%x for register 0x%" PRIx64, value, offset);
    }
}

void vgpu_stub_interrupt(struct vgpu_stub_core *core, unsigned int index)
{
    uint64_t bit;

    if (index >= VGPU_CHANNELS || core->channels[index].state != VGPU_CH_OPEN) {
        return;
    }
    bit = 1ull << index;
    if (core->irq_channels & bit) {
        return;
    }
    core->irq_channels |= bit;
    if (core->irq_enable & IRQ_ENABLE_BIT) {
        core->ops->raise(core->opaque, channel_vector(index));
    }
}

static void receive_welcome(struct vgpu_stub_core *core, const struct vgpu_msg_welcome *message)
{
    if (core->link != VGPU_STUB_LINK_HELLO) {
        link_fail(core, "a second WELCOME");
        return;
    }
    if (message->reason > VGPU_REASON_LAST) {
        link_fail(core, "WELCOME with reason %u", message->reason);
        return;
    }
    if (message->reason != VGPU_REASON_NONE) {
        core->link = VGPU_STUB_LINK_REFUSED;
        core->refused_reason = message->reason;
        link_log(core, "mediator (link version %u) serves no channels: reason %u", message->version,
                 message->reason);
        return;
    }
    if (message->version != VGPU_LINK_VERSION) {
        link_fail(core, "it speaks link version %u, this device speaks %u", message->version,
                  VGPU_LINK_VERSION);
        return;
    }
    core->link = VGPU_STUB_LINK_READY;
    link_log(core, "mediator connected");
    raise_control(core);
}

/* An answer to a channel that the guest's reset took away. */
static void receive_drained(struct vgpu_stub_core *core, unsigned int index, uint32_t state)
{
    struct vgpu_stub_channel *channel = &core->channels[index];

    if (state != VGPU_CH_FREE) {
        return; /* crossed our CHANNEL_CLOSE */
    }
    channel->draining = false;
    if (channel->state == VGPU_CH_OPENING) {
        submit_open(core, index);
    }
}

static void receive_channel_state(struct vgpu_stub_core *core,
                                  const struct vgpu_msg_channel_state *message)
{
    struct vgpu_stub_channel *channel;
    uint32_t index = message->channel;

    if (core->link != VGPU_STUB_LINK_READY) {
        link_fail(core, "CHANNEL_STATE before WELCOME");
        return;
    }
    if (index >= VGPU_CHANNELS || message->reason > VGPU_REASON_LAST ||
        (message->state != VGPU_CH_OPEN && message->state != VGPU_CH_DEAD &&
         message->state != VGPU_CH_FREE)) {
        link_fail(core, "CHANNEL_STATE of channel %u with state %u and reason %u", index,
                  message->state, message->reason);
        return;
    }
    channel = &core->channels[index];
    if (channel->draining && message->serial == channel->drain_serial) {
        receive_drained(core, index, message->state);
        return;
    }
    if (message->serial != channel->serial || channel->draining) {
        link_log(core, "stale CHANNEL_STATE of channel %u ignored: serial %u, now %u", index,
                 message->serial, channel->serial);
        return;
    }

    switch (channel->state) {
    case VGPU_CH_OPENING:
        if (message->state == VGPU_CH_FREE) {
            break;
        }
        set_state(core, index, (uint8_t)message->state,
                  message->state == VGPU_CH_DEAD ? message->reason : VGPU_REASON_NONE);
        raise_control(core);
        return;
    case VGPU_CH_OPEN:
        if (message->state != VGPU_CH_DEAD) {
            break;
        }
        set_state(core, index, VGPU_CH_DEAD, message->reason);
        raise_control(core);
        return;
    case VGPU_CH_CLOSING:
        /* OPEN and DEAD crossed our CHANNEL_CLOSE; only FREE says that nothing is mapped any more.
         */
        if (message->state == VGPU_CH_FREE) {
            channel->held = false;
            set_state(core, index, VGPU_CH_FREE, VGPU_REASON_NONE);
            raise_control(core);
        }
        return;
    default: /* DEAD or FREE */
        if (message->state == VGPU_CH_OPEN) {
            break;
        }
        if (message->state == VGPU_CH_FREE) {
            channel->held = false;
        }
        return;
    }
    link_fail(core, "channel %u told state %u while in state %u", index, message->state,
              channel->state);
}

static void receive_message(struct vgpu_stub_core *core, const struct vgpu_msg *head)
{
    union {
        struct vgpu_msg_welcome welcome;
        struct vgpu_msg_channel_state state;
    } message;

    memcpy(&message, core->in, head->size); /* head->size is the size of one of them */
    if (head->type == VGPU_MSG_WELCOME) {
        receive_welcome(core, &message.welcome);
    } else {
        receive_channel_state(core, &message.state);
    }
}

/* Bytes of a message of this type, 0 for a type that no mediator may send. */
static size_t incoming_size(uint32_t type)
{
    switch (type) {
    case VGPU_MSG_WELCOME:
        return sizeof(struct vgpu_msg_welcome);
    case VGPU_MSG_CHANNEL_STATE:
        return sizeof(struct vgpu_msg_channel_state);
    default:
        return 0;
    }
}

void vgpu_stub_link_receive(struct vgpu_stub_core *core, const void *bytes, size_t size,
                            unsigned int nfds)
{
    const uint8_t *from = bytes;

    if (nfds != 0) {
        link_fail(core, "%u descriptors, where none belongs", nfds);
        return;
    }
    while (size != 0 && core->link != VGPU_STUB_LINK_DOWN) {
        struct vgpu_msg head = {0, 0};
        size_t want = sizeof(head);
        size_t take;

        if (core->in_used >= sizeof(head)) {
            memcpy(&head, core->in, sizeof(head));
            want = head.size; /* checked below when the head was complete */
        }
        take = want - core->in_used < size ? want - core->in_used : size;
        memcpy(core->in + core->in_used, from, take);
        core->in_used += (uint32_t)take;
        from += take;
        size -= take;

        if (core->in_used == sizeof(head)) {
            memcpy(&head, core->in, sizeof(head));
            if (incoming_size(head.type) == 0 || head.size != incoming_size(head.type)) {
                link_fail(core, "message type %u of %u bytes", head.type, head.size);
            }
        } else if (core->in_used > sizeof(head) && core->in_used == head.size) {
            core->in_used = 0;
            receive_message(core, &head);
        }
    }
}

void vgpu_stub_link_up(struct vgpu_stub_core *core)
{
    struct vgpu_msg_hello hello;

    if (core->link != VGPU_STUB_LINK_DOWN) {
        return;
    }
    core->link = VGPU_STUB_LINK_HELLO;
    core->in_used = 0;
    memset(&hello, 0, sizeof(hello));
    hello.magic = VGPU_LINK_MAGIC;
    hello.version = VGPU_LINK_VERSION;
    hello.backend = core->id.backend;
    hello.vm_id = core->id.vm_id;
    hello.pool_id = core->id.pool_id;
    hello.priority = core->id.priority;
    if (!link_send(core, &hello, VGPU_MSG_HELLO, sizeof(hello), NULL, 0)) {
        return;
    }
    core->memory_stale = needs_memory(core);
    if (!memory_is_shareable(core)) {
        link_log(core, "guest RAM is not in shared memory: every channel will be refused");
    } else if (core->memory_stale) {
        send_memory(core);
    }
}

void vgpu_stub_link_down(struct vgpu_stub_core *core)
{
    if (core->link != VGPU_STUB_LINK_DOWN) {
        link_log(core, "mediator disconnected: it closed the connection");
        link_forget(core);
    }
}

void vgpu_stub_link_drop(struct vgpu_stub_core *core, const char *why)
{
    link_fail(core, "%s", why);
}

void vgpu_stub_memory_changed(struct vgpu_stub_core *core)
{
    if (!needs_memory(core) || core->link == VGPU_STUB_LINK_DOWN) {
        return;
    }
    core->memory_stale = true; /* sent before the next OPEN at the latest */
    if (limit_take(core, &core->memory_limit, MEMORY_BURST, MEMORY_INTERVAL_NS)) {
        send_memory(core);
    }
}

void vgpu_stub_reset(struct vgpu_stub_core *core)
{
    unsigned int i;

    core->irq_enable = 0; /* first, so that nothing below raises a vector */
    for (i = 0; i < VGPU_CHANNELS; i++) {
        struct vgpu_stub_channel *channel = &core->channels[i];
        bool tell = channel->held && channel->state != VGPU_CH_CLOSING; /* which has been told */

        if (channel->held) {
            channel->held = false;
            channel->draining = true;
            channel->drain_serial = channel->serial;
        }
        set_state(core, i, VGPU_CH_FREE, VGPU_REASON_NONE);
        channel->table = 0;
        channel->runs = 0;
        channel->pages = 0;
        if (tell) {
            send_close(core,
                       i); /* should the link go over it, the other channels are freed above */
        }
    }
    core->select = 0;
    core->irq_control = 0;
    core->irq_channels = 0;
}

const char *vgpu_stub_check_identity(const struct vgpu_stub_identity *id)
{
    if (id->vm_id == 0) {
        return "vm_id must be given and not be 0";
    }
    if (!((id->pool_id >= 'A' && id->pool_id <= 'Z') ||
          (id->pool_id >= 'a' && id->pool_id <= 'z'))) {
        return "pool_id must be one letter";
    }
    if (id->priority > 2) {
        return "priority must be 0 (low), 1 (medium) or 2 (high)";
    }
    if (id->backend != VGPU_BACKEND_MEMFD && id->backend != VGPU_BACKEND_GRANT) {
        return "guest memory is neither in memfds nor granted";
    }
    return NULL;
}

void vgpu_stub_init(struct vgpu_stub_core *core, const struct vgpu_stub_identity *id,
                    const struct vgpu_stub_ops *ops, void *opaque)
{
    memset(core, 0, sizeof(*core));
    core->id = *id;
    core->ops = ops;
    core->opaque = opaque;
    core->next_serial = 1;
    limit_init(core, &core->guest_limit, GUEST_LOG_BURST);
    limit_init(core, &core->link_limit, LINK_LOG_BURST);
    limit_init(core, &core->memory_limit, MEMORY_BURST);
}

void vgpu_stub_fini(struct vgpu_stub_core *core)
{
    core->irq_enable = 0;
    if (core->link != VGPU_STUB_LINK_DOWN) {
        link_forget(core);
        core->ops->disconnect(core->opaque);
    }
}
