/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/programs/device.h"

KERNEL noop()
{
}
