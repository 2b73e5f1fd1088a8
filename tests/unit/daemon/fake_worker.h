/* SPDX-License-Identifier: Apache-2.0 */
/* fake_worker.h - what the fake worker does, by the pages of the arena it is given */
#ifndef VGPU_TEST_FAKE_WORKER_H
#define VGPU_TEST_FAKE_WORKER_H

#define FAKE_OPCODE 7

enum fake_behaviour {
    FAKE_SERVE = 1,    /* counts a call and interrupts for each doorbell; ends on STOP */
    FAKE_REFUSE,       /* FAILED, bad-table */
    FAKE_CRASH,        /* SIGSEGV at the doorbell */
    FAKE_VIOLATION,    /* ENDED, protocol, at the doorbell */
    FAKE_STUBBORN,     /* ignores STOP */
    FAKE_EXIT,         /* exits without a word instead of STARTED */
    FAKE_FORK,         /* starts a child that never ends */
    FAKE_GREEDY,       /* always wants the gate */
    FAKE_GARBAGE,      /* sends the daemon garbage after STARTED */
    FAKE_OUT_OF_ORDER, /* says HELLO again after STARTED */
    FAKE_ASK,          /* asks for its VM's workers at the doorbell; counts each as a byte */
    FAKE_FAULT,        /* reports a fault of its work at the doorbell, and goes on */
    FAKE_HANG,         /* has work in flight that never completes */
};

#endif
