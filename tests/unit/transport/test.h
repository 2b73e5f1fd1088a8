/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - what cmocka wants included before itself */
#ifndef VGPU_TESTS_TEST_H
#define VGPU_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
