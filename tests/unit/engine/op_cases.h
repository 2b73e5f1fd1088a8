/* SPDX-License-Identifier: Apache-2.0 */
/* CASE(id, kind, PTX, type of d, a, b, c, expected value of d): included by test_ops.c. */

CASE(op001, 0, "add.u16 %d, %a, %b;", u16, u16, u16, u16, a + b)
CASE(op002, 0, "sub.u16 %d, %a, %b;", u16, u16, u16, u16, a - b)
CASE(op003, 0, "mul.lo.u16 %d, %a, %b;", u16, u16, u16, u16, (u64)a *b)
CASE(op004, 0, "mul.hi.u16 %d, %a, %b;", u16, u16, u16, u16,
     ((unsigned __int128)a * (unsigned __int128)b) >> 16)
CASE(op005, 0, "mad.lo.u16 %d, %a, %b, %c;", u16, u16, u16, u16, (u64)a *b + c)
CASE(op006, 0, "mad.hi.u16 %d, %a, %b, %c;", u16, u16, u16, u16,
     ((u16)(((unsigned __int128)a * (unsigned __int128)b) >> 16)) + c)
CASE(op007, 0, "mul.wide.u16 %d, %a, %b;", u32, u16, u16, u16, (u32)(u32)a *(u32)(u32)b)
CASE(op008, 0, "mad.wide.u16 %d, %a, %b, %c;", u32, u16, u16, u32, (u32)(u32)a *(u32)(u32)b + c)
CASE(op009, 0, "div.u16 %d, %a, %b;", u16, u16, u16, u16, b ? a / b : (u16)~0ull)
CASE(op010, 0, "rem.u16 %d, %a, %b;", u16, u16, u16, u16, b ? a % b : a)
CASE(op011, 0, "min.u16 %d, %a, %b;", u16, u16, u16, u16, a < b ? a : b)
CASE(op012, 0, "max.u16 %d, %a, %b;", u16, u16, u16, u16, a > b ? a : b)
CASE(op013, 0, "sad.u16 %d, %a, %b, %c;", u16, u16, u16, u16,
     c + (u16)(a < b ? (u16)b - (u16)a : (u16)a - (u16)b))
CASE(op014, 0, "shr.u16 %d, %a, %b;", u16, u16, u32, u16, b > 15 ? 0 : a >> b)
CASE(op015, 0, "setp.eq.u16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u16, u16, u16, a == b)
CASE(op016, 0, "setp.ne.u16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u16, u16, u16, a != b)
CASE(op017, 0, "setp.lt.u16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u16, u16, u16, a < b)
CASE(op018, 0, "setp.le.u16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u16, u16, u16, a <= b)
CASE(op019, 0, "setp.gt.u16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u16, u16, u16, a > b)
CASE(op020, 0, "setp.ge.u16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u16, u16, u16, a >= b)
CASE(op021, 0, "set.lt.u32.u16 %d, %a, %b;", u32, u16, u16, u16, a < b ? ~0u : 0)
CASE(op022, 0, "set.ge.f32.u16 %d, %a, %b;", f32, u16, u16, u16, a >= b ? 1.0f : 0.0f)
CASE(op023, 0, "add.s16 %d, %a, %b;", u16, u16, u16, u16, a + b)
CASE(op024, 0, "sub.s16 %d, %a, %b;", u16, u16, u16, u16, a - b)
CASE(op025, 0, "mul.lo.s16 %d, %a, %b;", u16, u16, u16, u16, (u64)a *b)
CASE(op026, 0, "mul.hi.s16 %d, %a, %b;", u16, s16, s16, s16,
     ((unsigned __int128)a * (unsigned __int128)b) >> 16)
CASE(op027, 0, "mad.lo.s16 %d, %a, %b, %c;", u16, u16, u16, u16, (u64)a *b + c)
CASE(op028, 0, "mad.hi.s16 %d, %a, %b, %c;", u16, s16, s16, u16,
     ((u16)(((unsigned __int128)a * (unsigned __int128)b) >> 16)) + c)
CASE(op029, 0, "mul.wide.s16 %d, %a, %b;", s32, s16, s16, s16, (u32)(s32)a *(u32)(s32)b)
CASE(op030, 0, "mad.wide.s16 %d, %a, %b, %c;", u32, s16, s16, u32, (u32)(s32)a *(u32)(s32)b + c)
CASE(op031, 0, "div.s16 %d, %a, %b;", s16, s16, s16, s16,
     b == 0    ? -1
     : b == -1 ? (s16)(0 - (u16)a)
               : a / b)
CASE(op032, 0, "rem.s16 %d, %a, %b;", s16, s16, s16, s16, b == 0 ? a : b == -1 ? 0 : a % b)
CASE(op033, 0, "abs.s16 %d, %a;", u16, s16, s16, s16, a < 0 ? 0 - (u16)a : (u16)a)
CASE(op034, 0, "neg.s16 %d, %a;", u16, u16, u16, u16, 0 - a)
CASE(op035, 0, "min.s16 %d, %a, %b;", s16, s16, s16, s16, a < b ? a : b)
CASE(op036, 0, "max.s16 %d, %a, %b;", s16, s16, s16, s16, a > b ? a : b)
CASE(op037, 0, "sad.s16 %d, %a, %b, %c;", u16, s16, s16, u16,
     c + (u16)(a < b ? (u16)b - (u16)a : (u16)a - (u16)b))
CASE(op038, 0, "shr.s16 %d, %a, %b;", s16, s16, u32, s16, a >> (b > 15 ? 15 : b))
CASE(op039, 0, "setp.eq.s16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s16, s16, s16, a == b)
CASE(op040, 0, "setp.ne.s16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s16, s16, s16, a != b)
CASE(op041, 0, "setp.lt.s16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s16, s16, s16, a < b)
CASE(op042, 0, "setp.le.s16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s16, s16, s16, a <= b)
CASE(op043, 0, "setp.gt.s16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s16, s16, s16, a > b)
CASE(op044, 0, "setp.ge.s16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s16, s16, s16, a >= b)
CASE(op045, 0, "set.lt.u32.s16 %d, %a, %b;", u32, s16, s16, s16, a < b ? ~0u : 0)
CASE(op046, 0, "set.ge.f32.s16 %d, %a, %b;", f32, s16, s16, s16, a >= b ? 1.0f : 0.0f)
CASE(op047, 0, "add.u32 %d, %a, %b;", u32, u32, u32, u32, a + b)
CASE(op048, 0, "sub.u32 %d, %a, %b;", u32, u32, u32, u32, a - b)
CASE(op049, 0, "mul.lo.u32 %d, %a, %b;", u32, u32, u32, u32, (u64)a *b)
CASE(op050, 0, "mul.hi.u32 %d, %a, %b;", u32, u32, u32, u32,
     ((unsigned __int128)a * (unsigned __int128)b) >> 32)
CASE(op051, 0, "mad.lo.u32 %d, %a, %b, %c;", u32, u32, u32, u32, (u64)a *b + c)
CASE(op052, 0, "mad.hi.u32 %d, %a, %b, %c;", u32, u32, u32, u32,
     ((u32)(((unsigned __int128)a * (unsigned __int128)b) >> 32)) + c)
CASE(op053, 0, "mul.wide.u32 %d, %a, %b;", u64, u32, u32, u32, (u64)(u64)a *(u64)(u64)b)
CASE(op054, 0, "mad.wide.u32 %d, %a, %b, %c;", u64, u32, u32, u64, (u64)(u64)a *(u64)(u64)b + c)
CASE(op055, 0, "div.u32 %d, %a, %b;", u32, u32, u32, u32, b ? a / b : (u32)~0ull)
CASE(op056, 0, "rem.u32 %d, %a, %b;", u32, u32, u32, u32, b ? a % b : a)
CASE(op057, 0, "min.u32 %d, %a, %b;", u32, u32, u32, u32, a < b ? a : b)
CASE(op058, 0, "max.u32 %d, %a, %b;", u32, u32, u32, u32, a > b ? a : b)
CASE(op059, 0, "sad.u32 %d, %a, %b, %c;", u32, u32, u32, u32,
     c + (u32)(a < b ? (u32)b - (u32)a : (u32)a - (u32)b))
CASE(op060, 0, "shr.u32 %d, %a, %b;", u32, u32, u32, u32, b > 31 ? 0 : a >> b)
CASE(op061, 0, "setp.eq.u32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u32, u32, u32, a == b)
CASE(op062, 0, "setp.ne.u32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u32, u32, u32, a != b)
CASE(op063, 0, "setp.lt.u32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u32, u32, u32, a < b)
CASE(op064, 0, "setp.le.u32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u32, u32, u32, a <= b)
CASE(op065, 0, "setp.gt.u32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u32, u32, u32, a > b)
CASE(op066, 0, "setp.ge.u32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u32, u32, u32, a >= b)
CASE(op067, 0, "set.lt.u32.u32 %d, %a, %b;", u32, u32, u32, u32, a < b ? ~0u : 0)
CASE(op068, 0, "set.ge.f32.u32 %d, %a, %b;", f32, u32, u32, u32, a >= b ? 1.0f : 0.0f)
CASE(op069, 0, "add.s32 %d, %a, %b;", u32, u32, u32, u32, a + b)
CASE(op070, 0, "sub.s32 %d, %a, %b;", u32, u32, u32, u32, a - b)
CASE(op071, 0, "mul.lo.s32 %d, %a, %b;", u32, u32, u32, u32, (u64)a *b)
CASE(op072, 0, "mul.hi.s32 %d, %a, %b;", u32, s32, s32, s32,
     ((unsigned __int128)a * (unsigned __int128)b) >> 32)
CASE(op073, 0, "mad.lo.s32 %d, %a, %b, %c;", u32, u32, u32, u32, (u64)a *b + c)
CASE(op074, 0, "mad.hi.s32 %d, %a, %b, %c;", u32, s32, s32, u32,
     ((u32)(((unsigned __int128)a * (unsigned __int128)b) >> 32)) + c)
CASE(op075, 0, "mul.wide.s32 %d, %a, %b;", s64, s32, s32, s32, (u64)(s64)a *(u64)(s64)b)
CASE(op076, 0, "mad.wide.s32 %d, %a, %b, %c;", u64, s32, s32, u64, (u64)(s64)a *(u64)(s64)b + c)
CASE(op077, 0, "div.s32 %d, %a, %b;", s32, s32, s32, s32,
     b == 0    ? -1
     : b == -1 ? (s32)(0 - (u32)a)
               : a / b)
CASE(op078, 0, "rem.s32 %d, %a, %b;", s32, s32, s32, s32, b == 0 ? a : b == -1 ? 0 : a % b)
CASE(op079, 0, "abs.s32 %d, %a;", u32, s32, s32, s32, a < 0 ? 0 - (u32)a : (u32)a)
CASE(op080, 0, "neg.s32 %d, %a;", u32, u32, u32, u32, 0 - a)
CASE(op081, 0, "min.s32 %d, %a, %b;", s32, s32, s32, s32, a < b ? a : b)
CASE(op082, 0, "max.s32 %d, %a, %b;", s32, s32, s32, s32, a > b ? a : b)
CASE(op083, 0, "sad.s32 %d, %a, %b, %c;", u32, s32, s32, u32,
     c + (u32)(a < b ? (u32)b - (u32)a : (u32)a - (u32)b))
CASE(op084, 0, "shr.s32 %d, %a, %b;", s32, s32, u32, s32, a >> (b > 31 ? 31 : b))
CASE(op085, 0, "setp.eq.s32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s32, s32, s32, a == b)
CASE(op086, 0, "setp.ne.s32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s32, s32, s32, a != b)
CASE(op087, 0, "setp.lt.s32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s32, s32, s32, a < b)
CASE(op088, 0, "setp.le.s32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s32, s32, s32, a <= b)
CASE(op089, 0, "setp.gt.s32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s32, s32, s32, a > b)
CASE(op090, 0, "setp.ge.s32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s32, s32, s32, a >= b)
CASE(op091, 0, "set.lt.u32.s32 %d, %a, %b;", u32, s32, s32, s32, a < b ? ~0u : 0)
CASE(op092, 0, "set.ge.f32.s32 %d, %a, %b;", f32, s32, s32, s32, a >= b ? 1.0f : 0.0f)
CASE(op093, 0, "add.u64 %d, %a, %b;", u64, u64, u64, u64, a + b)
CASE(op094, 0, "sub.u64 %d, %a, %b;", u64, u64, u64, u64, a - b)
CASE(op095, 0, "mul.lo.u64 %d, %a, %b;", u64, u64, u64, u64, (u64)a *b)
CASE(op096, 0, "mul.hi.u64 %d, %a, %b;", u64, u64, u64, u64,
     ((unsigned __int128)a * (unsigned __int128)b) >> 64)
CASE(op097, 0, "mad.lo.u64 %d, %a, %b, %c;", u64, u64, u64, u64, (u64)a *b + c)
CASE(op098, 0, "mad.hi.u64 %d, %a, %b, %c;", u64, u64, u64, u64,
     ((u64)(((unsigned __int128)a * (unsigned __int128)b) >> 64)) + c)
CASE(op099, 0, "div.u64 %d, %a, %b;", u64, u64, u64, u64, b ? a / b : (u64)~0ull)
CASE(op100, 0, "rem.u64 %d, %a, %b;", u64, u64, u64, u64, b ? a % b : a)
CASE(op101, 0, "min.u64 %d, %a, %b;", u64, u64, u64, u64, a < b ? a : b)
CASE(op102, 0, "max.u64 %d, %a, %b;", u64, u64, u64, u64, a > b ? a : b)
CASE(op103, 0, "sad.u64 %d, %a, %b, %c;", u64, u64, u64, u64,
     c + (u64)(a < b ? (u64)b - (u64)a : (u64)a - (u64)b))
CASE(op104, 0, "shr.u64 %d, %a, %b;", u64, u64, u32, u64, b > 63 ? 0 : a >> b)
CASE(op105, 0, "setp.eq.u64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u64, u64, u64, a == b)
CASE(op106, 0, "setp.ne.u64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u64, u64, u64, a != b)
CASE(op107, 0, "setp.lt.u64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u64, u64, u64, a < b)
CASE(op108, 0, "setp.le.u64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u64, u64, u64, a <= b)
CASE(op109, 0, "setp.gt.u64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u64, u64, u64, a > b)
CASE(op110, 0, "setp.ge.u64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, u64, u64, u64, a >= b)
CASE(op111, 0, "set.lt.u32.u64 %d, %a, %b;", u32, u64, u64, u64, a < b ? ~0u : 0)
CASE(op112, 0, "set.ge.f32.u64 %d, %a, %b;", f32, u64, u64, u64, a >= b ? 1.0f : 0.0f)
CASE(op113, 0, "add.s64 %d, %a, %b;", u64, u64, u64, u64, a + b)
CASE(op114, 0, "sub.s64 %d, %a, %b;", u64, u64, u64, u64, a - b)
CASE(op115, 0, "mul.lo.s64 %d, %a, %b;", u64, u64, u64, u64, (u64)a *b)
CASE(op116, 0, "mul.hi.s64 %d, %a, %b;", u64, s64, s64, s64,
     ((unsigned __int128)a * (unsigned __int128)b) >> 64)
CASE(op117, 0, "mad.lo.s64 %d, %a, %b, %c;", u64, u64, u64, u64, (u64)a *b + c)
CASE(op118, 0, "mad.hi.s64 %d, %a, %b, %c;", u64, s64, s64, u64,
     ((u64)(((unsigned __int128)a * (unsigned __int128)b) >> 64)) + c)
CASE(op119, 0, "div.s64 %d, %a, %b;", s64, s64, s64, s64,
     b == 0    ? -1
     : b == -1 ? (s64)(0 - (u64)a)
               : a / b)
CASE(op120, 0, "rem.s64 %d, %a, %b;", s64, s64, s64, s64, b == 0 ? a : b == -1 ? 0 : a % b)
CASE(op121, 0, "abs.s64 %d, %a;", u64, s64, s64, s64, a < 0 ? 0 - (u64)a : (u64)a)
CASE(op122, 0, "neg.s64 %d, %a;", u64, u64, u64, u64, 0 - a)
CASE(op123, 0, "min.s64 %d, %a, %b;", s64, s64, s64, s64, a < b ? a : b)
CASE(op124, 0, "max.s64 %d, %a, %b;", s64, s64, s64, s64, a > b ? a : b)
CASE(op125, 0, "sad.s64 %d, %a, %b, %c;", u64, s64, s64, u64,
     c + (u64)(a < b ? (u64)b - (u64)a : (u64)a - (u64)b))
CASE(op126, 0, "shr.s64 %d, %a, %b;", s64, s64, u32, s64, a >> (b > 63 ? 63 : b))
CASE(op127, 0, "setp.eq.s64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s64, s64, s64, a == b)
CASE(op128, 0, "setp.ne.s64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s64, s64, s64, a != b)
CASE(op129, 0, "setp.lt.s64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s64, s64, s64, a < b)
CASE(op130, 0, "setp.le.s64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s64, s64, s64, a <= b)
CASE(op131, 0, "setp.gt.s64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s64, s64, s64, a > b)
CASE(op132, 0, "setp.ge.s64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, s64, s64, s64, a >= b)
CASE(op133, 0, "set.lt.u32.s64 %d, %a, %b;", u32, s64, s64, s64, a < b ? ~0u : 0)
CASE(op134, 0, "set.ge.f32.s64 %d, %a, %b;", f32, s64, s64, s64, a >= b ? 1.0f : 0.0f)
CASE(op135, 0, "setp.lo.u32 %p, %a, %b; selp.u32 %d, 7, 9, %p;", u32, u32, u32, u32, a < b ? 7 : 9)
CASE(op136, 0, "setp.ls.u32 %p, %a, %b; selp.u32 %d, 7, 9, %p;", u32, u32, u32, u32, a <= b ? 7 : 9)
CASE(op137, 0, "setp.hi.u32 %p, %a, %b; selp.u32 %d, 7, 9, %p;", u32, u32, u32, u32, a > b ? 7 : 9)
CASE(op138, 0, "setp.hs.u32 %p, %a, %b; selp.u32 %d, 7, 9, %p;", u32, u32, u32, u32, a >= b ? 7 : 9)
CASE(op139, 0, "setp.lo.u64 %p, %a, %b; selp.u32 %d, 7, 9, %p;", u32, u64, u64, u64, a < b ? 7 : 9)
CASE(op140, 0, "setp.hs.u64 %p, %a, %b; selp.u32 %d, 7, 9, %p;", u32, u64, u64, u64, a >= b ? 7 : 9)
CASE(op141, 0,
     "setp.gt.s32 %p, %c, 0; setp.lt.and.s32 %p|%q, %a, %b, %p; selp.u32 %d, 1, 0, %p; selp.u32 "
     "%t, 2, 0, %q; or.b32 %d, %d, %t;",
     u32, s32, s32, s32, ((a < b && c > 0) ? 1 : 0) | ((!(a < b) && c > 0) ? 2 : 0))
CASE(op142, 0,
     "setp.gt.s32 %p, %c, 0; setp.lt.or.s32 %p|%q, %a, %b, !%p; selp.u32 %d, 1, 0, %p; selp.u32 "
     "%t, 2, 0, %q; or.b32 %d, %d, %t;",
     u32, s32, s32, s32, ((a < b || !(c > 0)) ? 1 : 0) | ((!(a < b) || !(c > 0)) ? 2 : 0))
CASE(op143, 0, "setp.gt.s32 %p, %c, 0; setp.ne.xor.s32 %p, %a, %b, %p; selp.u32 %d, 1, 0, %p;", u32,
     s32, s32, s32, (a != b) ^ (c > 0))
CASE(op144, 0,
     "setp.gt.s32 %p, %c, 0; setp.lt.s32 %q, %a, %b; and.pred %p, %p, !%q; not.pred %q, %q; "
     "xor.pred %p, %p, %q; selp.b32 %d, 1, 0, %p;",
     u32, s32, s32, s32, ((c > 0) && !(a < b)) ^ !(a < b))
CASE(op145, 0, "add.sat.s32 %d, %a, %b;", s32, s32, s32, s32,
     (s64)a + b > INT32_MAX   ? INT32_MAX
     : (s64)a + b < INT32_MIN ? INT32_MIN
                              : (s64)a + b)
CASE(op146, 0, "sub.sat.s32 %d, %a, %b;", s32, s32, s32, s32,
     (s64)a - b > INT32_MAX   ? INT32_MAX
     : (s64)a - b < INT32_MIN ? INT32_MIN
                              : (s64)a - b)
CASE(op147, 0, "and.b16 %d, %a, %b;", u16, u16, u16, u16, a &b)
CASE(op148, 0, "or.b16 %d, %a, %b;", u16, u16, u16, u16, a | b)
CASE(op149, 0, "xor.b16 %d, %a, %b;", u16, u16, u16, u16, a ^ b)
CASE(op150, 0, "not.b16 %d, %a;", u16, u16, u16, u16, ~a)
CASE(op151, 0, "cnot.b16 %d, %a;", u16, u16, u16, u16, a == 0)
CASE(op152, 0, "shl.b16 %d, %a, %b;", u16, u16, u32, u16, b > 15 ? 0 : (u64)a << b)
CASE(op153, 0, "mov.b16 %d, %a;", u16, u16, u16, u16, a)
CASE(op154, 0, "setp.lt.s32 %p, %c, 0; selp.b16 %d, %a, %b, %p;", u16, u16, u16, s32, c < 0 ? a : b)
CASE(op155, 0, "setp.lt.s32 %p, %c, 0; @!%p mov.b16 %a, %b; mov.b16 %d, %a;", u16, u16, u16, s32,
     c < 0 ? a : b)
CASE(op156, 0, "and.b32 %d, %a, %b;", u32, u32, u32, u32, a &b)
CASE(op157, 0, "or.b32 %d, %a, %b;", u32, u32, u32, u32, a | b)
CASE(op158, 0, "xor.b32 %d, %a, %b;", u32, u32, u32, u32, a ^ b)
CASE(op159, 0, "not.b32 %d, %a;", u32, u32, u32, u32, ~a)
CASE(op160, 0, "cnot.b32 %d, %a;", u32, u32, u32, u32, a == 0)
CASE(op161, 0, "shl.b32 %d, %a, %b;", u32, u32, u32, u32, b > 31 ? 0 : (u64)a << b)
CASE(op162, 0, "mov.b32 %d, %a;", u32, u32, u32, u32, a)
CASE(op163, 0, "setp.lt.s32 %p, %c, 0; selp.b32 %d, %a, %b, %p;", u32, u32, u32, s32, c < 0 ? a : b)
CASE(op164, 0, "setp.lt.s32 %p, %c, 0; @!%p mov.b32 %a, %b; mov.b32 %d, %a;", u32, u32, u32, s32,
     c < 0 ? a : b)
CASE(op165, 0, "and.b64 %d, %a, %b;", u64, u64, u64, u64, a &b)
CASE(op166, 0, "or.b64 %d, %a, %b;", u64, u64, u64, u64, a | b)
CASE(op167, 0, "xor.b64 %d, %a, %b;", u64, u64, u64, u64, a ^ b)
CASE(op168, 0, "not.b64 %d, %a;", u64, u64, u64, u64, ~a)
CASE(op169, 0, "cnot.b64 %d, %a;", u64, u64, u64, u64, a == 0)
CASE(op170, 0, "shl.b64 %d, %a, %b;", u64, u64, u32, u64, b > 63 ? 0 : (u64)a << b)
CASE(op171, 0, "mov.b64 %d, %a;", u64, u64, u64, u64, a)
CASE(op172, 0, "setp.lt.s32 %p, %c, 0; selp.b64 %d, %a, %b, %p;", u64, u64, u64, s32, c < 0 ? a : b)
CASE(op173, 0, "setp.lt.s32 %p, %c, 0; @!%p mov.b64 %a, %b; mov.b64 %d, %a;", u64, u64, u64, s32,
     c < 0 ? a : b)
CASE(op174, 0, "slct.u32.s32 %d, %a, %b, %c;", u32, u32, u32, s32, c >= 0 ? a : b)
CASE(op175, 0, "slct.u64.f32 %d, %a, %b, %c;", u64, u64, u64, f32, c >= 0 ? a : b)
CASE(op176, 0, "popc.b32 %d, %a;", u32, u32, u32, u32, __builtin_popcount(a))
CASE(op177, 0, "popc.b64 %d, %a;", u32, u64, u32, u32, __builtin_popcountll(a))
CASE(op178, 0, "clz.b32 %d, %a;", u32, u32, u32, u32, a ? __builtin_clz(a) : 32)
CASE(op179, 0, "clz.b64 %d, %a;", u32, u64, u32, u32, a ? __builtin_clzll(a) : 64)
CASE(op180, 0, "brev.b32 %d, %a;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 32; k++)
             r_ |= (a >> k & 1) << (31 - k);
         r_;
     }))
CASE(op181, 0, "brev.b64 %d, %a;", u64, u64, u32, u32, ({
         u64 r_ = 0;
         for (int k = 0; k < 64; k++)
             r_ |= (a >> k & 1) << (63 - k);
         r_;
     }))
CASE(op182, 0, "bfind.u32 %d, %a;", u32, u32, u32, u32, a ? 31 - __builtin_clz(a) : ~0)
CASE(op183, 0, "bfind.s32 %d, %a;", u32, s32, u32, u32, ({
         u32 x = a < 0 ? ~(u32)a : (u32)a;
         x ? 31 - __builtin_clz(x) : ~0;
     }))
CASE(op184, 0, "bfind.s64 %d, %a;", u32, s64, u32, u32, ({
         u64 x = a < 0 ? ~(u64)a : (u64)a;
         x ? 63 - __builtin_clzll(x) : ~0;
     }))
CASE(op185, 0, "bfind.shiftamt.u64 %d, %a;", u32, u64, u32, u32, a ? __builtin_clzll(a) : ~0)
CASE(op186, 0, "bfe.u32 %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 pos = b & 255, len = c & 255, msb = 31;
         u64 sb = 0, r_ = 0;
         for (u32 k = 0; k <= msb; k++)
             r_ |= (k < len && pos + k <= msb ? (a >> (pos + k)) & 1 : sb) << k;
         r_;
     }))
CASE(op187, 0, "bfe.s32 %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 pos = b & 255, len = c & 255, msb = 31;
         u64 sb = len ? a >> (pos + len - 1 < msb ? pos + len - 1 : msb) & 1 : 0, r_ = 0;
         for (u32 k = 0; k <= msb; k++)
             r_ |= (k < len && pos + k <= msb ? (a >> (pos + k)) & 1 : sb) << k;
         r_;
     }))
CASE(op188, 0, "bfe.u64 %d, %a, %b, %c;", u64, u64, u32, u32, ({
         u32 pos = b & 255, len = c & 255, msb = 63;
         u64 sb = 0, r_ = 0;
         for (u32 k = 0; k <= msb; k++)
             r_ |= (k < len && pos + k <= msb ? (a >> (pos + k)) & 1 : sb) << k;
         r_;
     }))
CASE(op189, 0, "bfe.s64 %d, %a, %b, %c;", u64, u64, u32, u32, ({
         u32 pos = b & 255, len = c & 255, msb = 63;
         u64 sb = len ? a >> (pos + len - 1 < msb ? pos + len - 1 : msb) & 1 : 0, r_ = 0;
         for (u32 k = 0; k <= msb; k++)
             r_ |= (k < len && pos + k <= msb ? (a >> (pos + k)) & 1 : sb) << k;
         r_;
     }))
CASE(op190, 0, "bfi.b32 %d, %a, %b, %c, 9;", u32, u32, u32, u32, ({
         u32 pos = c & 255;
         u64 r_ = b;
         for (u32 k = 0; k < 9 && pos + k < 32; k++)
             r_ = (r_ & ~((u64)1 << (pos + k))) | ((u64)(a >> k & 1) << (pos + k));
         r_;
     }))
CASE(op191, 0, "bfi.b64 %d, %a, %b, %c, 9;", u64, u64, u64, u32, ({
         u32 pos = c & 255;
         u64 r_ = b;
         for (u32 k = 0; k < 9 && pos + k < 64; k++)
             r_ = (r_ & ~((u64)1 << (pos + k))) | ((u64)(a >> k & 1) << (pos + k));
         r_;
     }))
CASE(op192, 0, "prmt.b32 %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 4; k++) {
             u32 s = c >> (4 * k) & 15, x = (s & 4 ? b : a) >> (8 * (s & 3)) & 255;
             if (s & 8)
                 x = x >> 7 ? 255 : 0;
             r_ |= x << (8 * k);
         }
         r_;
     }))
CASE(op193, 0, "prmt.b32.f4e %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = 0, s = c & 3;
         u64 x = (u64)b << 32 | a;
         for (u32 k = 0; k < 4; k++)
             r_ |= (u32)(x >> (8 * (s + k)) & 255) << (8 * k);
         r_;
     }))
CASE(op194, 0, "prmt.b32.b4e %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = 0, s = c & 3;
         u64 x = (u64)b << 32 | a;
         for (u32 k = 0; k < 4; k++)
             r_ |= (u32)(x >> (8 * ((s - k) & 7)) & 255) << (8 * k);
         r_;
     }))
CASE(op195, 0, "prmt.b32.rc8 %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = 0, s = c & 3;
         u64 x = (u64)b << 32 | a;
         for (u32 k = 0; k < 4; k++)
             r_ |= (u32)(x >> (8 * s) & 255) << (8 * k);
         r_;
     }))
CASE(op196, 0, "prmt.b32.ecl %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = 0, s = c & 3;
         u64 x = (u64)b << 32 | a;
         for (u32 k = 0; k < 4; k++)
             r_ |= (u32)(x >> (8 * (k > s ? k : s)) & 255) << (8 * k);
         r_;
     }))
CASE(op197, 0, "prmt.b32.ecr %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = 0, s = c & 3;
         u64 x = (u64)b << 32 | a;
         for (u32 k = 0; k < 4; k++)
             r_ |= (u32)(x >> (8 * (k < s ? k : s)) & 255) << (8 * k);
         r_;
     }))
CASE(op198, 0, "prmt.b32.rc16 %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = 0, s = c & 3;
         u64 x = (u64)b << 32 | a;
         for (u32 k = 0; k < 4; k++)
             r_ |= (u32)(x >> (8 * ((s & 1) * 2 + (k & 1))) & 255) << (8 * k);
         r_;
     }))
CASE(op199, 0, "lop3.b32 %d, %a, %b, %c, 128;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 32; k++)
             r_ |= (128u >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) & 1) << k;
         r_;
     }))
CASE(op200, 0, "lop3.b32 %d, %a, %b, %c, 234;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 32; k++)
             r_ |= (234u >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) & 1) << k;
         r_;
     }))
CASE(op201, 0, "lop3.b32 %d, %a, %b, %c, 150;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 32; k++)
             r_ |= (150u >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) & 1) << k;
         r_;
     }))
CASE(op202, 0, "lop3.b32 %d, %a, %b, %c, 27;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 32; k++)
             r_ |= (27u >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) & 1) << k;
         r_;
     }))
CASE(op203, 0, "lop3.b32 %d, %a, %b, %c, 255;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 32; k++)
             r_ |= (255u >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) & 1) << k;
         r_;
     }))
CASE(op204, 0, "lop3.b32 %d, %a, %b, %c, 0;", u32, u32, u32, u32, ({
         u32 r_ = 0;
         for (int k = 0; k < 32; k++)
             r_ |= (0u >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) & 1) << k;
         r_;
     }))
CASE(op205, 0, "shf.l.wrap.b32 %d, %a, %b, %c;", u32, u32, u32, u32,
     c & 31 ? b << (c & 31) | a >> (32 - (c & 31)) : b)
CASE(op206, 0, "shf.r.wrap.b32 %d, %a, %b, %c;", u32, u32, u32, u32,
     c & 31 ? b << (32 - (c & 31)) | a >> (c & 31) : a)
CASE(op207, 0, "shf.l.clamp.b32 %d, %a, %b, %c;", u32, u32, u32, u32,
     c >= 32 ? a
     : c     ? b << c | a >> (32 - c)
             : b)
CASE(op208, 0, "shf.r.clamp.b32 %d, %a, %b, %c;", u32, u32, u32, u32,
     c >= 32 ? b
     : c     ? b << (32 - c) | a >> c
             : a)
CASE(op209, 0, "mul24.lo.u32 %d, %a, %b;", u32, u32, u32, u32, (u64)(a & 0xffffff) * (b & 0xffffff))
CASE(op210, 0, "mul24.hi.u32 %d, %a, %b;", u32, u32, u32, u32,
     (u64)(a & 0xffffff) * (b & 0xffffff) >> 16)
CASE(op211, 0, "mul24.hi.s32 %d, %a, %b;", u32, u32, u32, u32,
     (s64)((s32)(a << 8) >> 8) * ((s32)(b << 8) >> 8) >> 16)
CASE(op212, 0, "mad24.lo.s32 %d, %a, %b, %c;", u32, u32, u32, u32,
     (u32)((s64)((s32)(a << 8) >> 8) * ((s32)(b << 8) >> 8)) + c)
CASE(op213, 0, "dp4a.s32.u32 %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = c;
         for (int k = 0; k < 32; k += 8)
             r_ += (u32)((s8)(a >> k) * (u8)(b >> k));
         r_;
     }))
CASE(op214, 0, "dp4a.u32.u32 %d, %a, %b, %c;", u32, u32, u32, u32, ({
         u32 r_ = c;
         for (int k = 0; k < 32; k += 8)
             r_ += (u32)((u8)(a >> k) * (u8)(b >> k));
         r_;
     }))
CASE(op215, 0, "dp2a.hi.s32.s32 %d, %a, %b, %c;", u32, u32, u32, u32,
     c + (u32)((s16)a * (s8)(b >> 16)) + (u32)((s16)(a >> 16) * (s8)(b >> 24)))
CASE(op216, 0, "dp2a.lo.u32.s32 %d, %a, %b, %c;", u32, u32, u32, u32,
     c + (u32)(u16)a * (u32)(s8)b + (a >> 16) * (u32)(s8)(b >> 8))
CASE(op217, 0, "szext.clamp.s32 %d, %a, %b;", u32, u32, u32, u32,
     b >= 32  ? a
     : b == 0 ? 0
              : (u32)((s32)(a << (32 - b)) >> (32 - b)))
CASE(op218, 0, "szext.wrap.u32 %d, %a, %b;", u32, u32, u32, u32,
     b & 31 ? a << (32 - (b & 31)) >> (32 - (b & 31)) : 0)
CASE(op219, 0, "bmsk.clamp.b32 %d, %a, %b;", u32, u32, u32, u32,
     a >= 32 ? 0 : (b >= 32 ? ~0u : (1u << b) - 1) << a)
CASE(op220, 0,
     "{ .reg .b32 al, ah, bl, bh, dl, dh; mov.b64 {al, ah}, %a; mov.b64 {bl, bh}, %b; add.cc.u32 "
     "dl, al, bl; addc.u32 dh, ah, bh; mov.b64 %d, {dl, dh}; }",
     u64, u64, u64, u64, a + b)
CASE(op221, 0,
     "{ .reg .b32 al, ah, bl, bh, dl, dh; mov.b64 {al, ah}, %a; mov.b64 {bl, bh}, %b; sub.cc.u32 "
     "dl, al, bl; subc.u32 dh, ah, bh; mov.b64 %d, {dl, dh}; }",
     u64, u64, u64, u64, a - b)
CASE(op222, 0, "{ .reg .b64 t; add.cc.u64 t, %a, %b; addc.cc.u64 t, %c, 0; addc.u64 %d, 0, 0; }",
     u64, u64, u64, u64,
     (u64)((((unsigned __int128)c) + (u64)(((unsigned __int128)a + b) >> 64)) >> 64))
CASE(op223, 0, "{ .reg .b64 t; sub.cc.u64 t, %a, %b; subc.cc.u64 t, %c, 0; subc.u64 %d, 0, 0; }",
     u64, u64, u64, u64, (a < b) > c ? ~0ull : 0ull)
CASE(op224, 0,
     "{ .reg .b32 al, ah, bl, bh, x, y; mov.b64 {al, ah}, %a; mov.b64 {bl, bh}, %b; mul.lo.u32 x, "
     "al, bl; mul.hi.u32 y, al, bl; mad.lo.cc.u32 y, al, bh, y; mad.lo.u32 y, ah, bl, y; mov.b64 "
     "%d, {x, y}; }",
     u64, u64, u64, u64, a *b)
CASE(op225, 0, "{ .reg .b32 x; mad.lo.cc.u32 x, %a, %b, %c; madc.hi.u32 %d, %a, %b, 0; }", u32, u32,
     u32, u32, ((u64)a * b + c) >> 32)
CASE(op226, 0, "{ .reg .b64 x; mad.lo.cc.u64 x, %a, %b, %c; madc.hi.s64 %d, %a, %b, 0; }", u64, s64,
     s64, u64,
     (u64)((unsigned __int128)((__int128)a *b) >> 64) +
         __builtin_add_overflow_p((u64)a * (u64)b, c, (u64)0))
CASE(op227, 0, "{ .reg .b16 x, y; mov.b32 {x, y}, %a; mov.b32 %d, {y, x}; }", u32, u32, u32, u32,
     a << 16 | a >> 16)
CASE(op228, 0, "{ .reg .b8 x; cvt.u8.u32 x, %a; cvt.s32.s8 %d, x; }", s32, u32, u32, u32, (s8)a)
CASE(op229, 'f', "add.f32 %d, %a, %b;", f32, f32, f32, f32, a + b)
CASE(op230, 'f', "add.rz.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_TOWARDZERO);
         volatile f32 x = a, y = b, z = x + y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op231, 'f', "add.rm.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_DOWNWARD);
         volatile f32 x = a, y = b, z = x + y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op232, 'f', "add.rp.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_UPWARD);
         volatile f32 x = a, y = b, z = x + y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op233, 'f', "sub.f32 %d, %a, %b;", f32, f32, f32, f32, a - b)
CASE(op234, 'f', "sub.rz.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_TOWARDZERO);
         volatile f32 x = a, y = b, z = x - y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op235, 'f', "sub.rm.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_DOWNWARD);
         volatile f32 x = a, y = b, z = x - y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op236, 'f', "sub.rp.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_UPWARD);
         volatile f32 x = a, y = b, z = x - y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op237, 'f', "mul.f32 %d, %a, %b;", f32, f32, f32, f32, a *b)
CASE(op238, 'f', "mul.rz.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_TOWARDZERO);
         volatile f32 x = a, y = b, z = x * y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op239, 'f', "mul.rm.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_DOWNWARD);
         volatile f32 x = a, y = b, z = x * y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op240, 'f', "mul.rp.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         fesetround(FE_UPWARD);
         volatile f32 x = a, y = b, z = x * y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op241, 'f', "fma.rn.f32 %d, %a, %b, %c;", f32, f32, f32, f32, fmaf(a, b, c))
CASE(op242, 'f', "mad.rn.f32 %d, %a, %b, %c;", f32, f32, f32, f32, fmaf(a, b, c))
CASE(op243, 'f', "fma.rp.f32 %d, %a, %b, %c;", f32, f32, f32, f32, ({
         fesetround(FE_UPWARD);
         volatile f32 z = fmaf(a, b, c);
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op244, 'f', "div.rn.f32 %d, %a, %b;", f32, f32, f32, f32, a / b)
CASE(op245, 'f', "rcp.rn.f32 %d, %a;", f32, f32, f32, f32, 1 / a)
CASE(op246, 'f', "sqrt.rn.f32 %d, %a;", f32, f32, f32, f32, sqrtf(a))
CASE(op247, 'f', "abs.f32 %d, %a;", f32, f32, f32, f32, fabsf(a))
CASE(op248, 'f', "neg.f32 %d, %a;", f32, f32, f32, f32, -a)
CASE(op249, 'f', "min.f32 %d, %a, %b;", f32, f32, f32, f32,
     isnan(a)   ? b
     : isnan(b) ? a
     : a == b   ? (signbit(a) ? a : b)
     : a < b    ? a
                : b)
CASE(op250, 'f', "max.f32 %d, %a, %b;", f32, f32, f32, f32,
     isnan(a)   ? b
     : isnan(b) ? a
     : a == b   ? (signbit(a) ? b : a)
     : a > b    ? a
                : b)
CASE(op251, 'f', "copysign.f32 %d, %a, %b;", f32, f32, f32, f32, copysign(b, a))
CASE(op252, 0, "setp.eq.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, a == b)
CASE(op253, 0, "setp.ne.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, a<b || a> b)
CASE(op254, 0, "setp.lt.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, a < b)
CASE(op255, 0, "setp.le.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, a <= b)
CASE(op256, 0, "setp.gt.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, a > b)
CASE(op257, 0, "setp.ge.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, a >= b)
CASE(op258, 0, "setp.equ.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     !(a < b || a > b))
CASE(op259, 0, "setp.neu.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, !(a == b))
CASE(op260, 0, "setp.ltu.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, !(a >= b))
CASE(op261, 0, "setp.leu.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, !(a > b))
CASE(op262, 0, "setp.gtu.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, !(a <= b))
CASE(op263, 0, "setp.geu.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32, !(a < b))
CASE(op264, 0, "setp.num.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     !isnan(a) && !isnan(b))
CASE(op265, 0, "setp.nan.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     isnan(a) || isnan(b))
CASE(op266, 0, "testp.finite.f32 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     (isfinite(a)) ? 1 : 0)
CASE(op267, 0, "testp.infinite.f32 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     (isinf(a) != 0) ? 1 : 0)
CASE(op268, 0, "testp.number.f32 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     (!isnan(a)) ? 1 : 0)
CASE(op269, 0, "testp.notanumber.f32 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     (isnan(a)) ? 1 : 0)
CASE(op270, 0, "testp.normal.f32 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     (isnormal(a)) ? 1 : 0)
CASE(op271, 0, "testp.subnormal.f32 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f32, f32, f32,
     (fpclassify(a) == FP_SUBNORMAL) ? 1 : 0)
CASE(op272, 'f', "add.f64 %d, %a, %b;", f64, f64, f64, f64, a + b)
CASE(op273, 'f', "add.rz.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_TOWARDZERO);
         volatile f64 x = a, y = b, z = x + y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op274, 'f', "add.rm.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_DOWNWARD);
         volatile f64 x = a, y = b, z = x + y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op275, 'f', "add.rp.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_UPWARD);
         volatile f64 x = a, y = b, z = x + y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op276, 'f', "sub.f64 %d, %a, %b;", f64, f64, f64, f64, a - b)
CASE(op277, 'f', "sub.rz.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_TOWARDZERO);
         volatile f64 x = a, y = b, z = x - y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op278, 'f', "sub.rm.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_DOWNWARD);
         volatile f64 x = a, y = b, z = x - y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op279, 'f', "sub.rp.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_UPWARD);
         volatile f64 x = a, y = b, z = x - y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op280, 'f', "mul.f64 %d, %a, %b;", f64, f64, f64, f64, a *b)
CASE(op281, 'f', "mul.rz.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_TOWARDZERO);
         volatile f64 x = a, y = b, z = x * y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op282, 'f', "mul.rm.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_DOWNWARD);
         volatile f64 x = a, y = b, z = x * y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op283, 'f', "mul.rp.f64 %d, %a, %b;", f64, f64, f64, f64, ({
         fesetround(FE_UPWARD);
         volatile f64 x = a, y = b, z = x * y;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op284, 'f', "fma.rn.f64 %d, %a, %b, %c;", f64, f64, f64, f64, fma(a, b, c))
CASE(op285, 'f', "mad.rn.f64 %d, %a, %b, %c;", f64, f64, f64, f64, fma(a, b, c))
CASE(op286, 'f', "fma.rp.f64 %d, %a, %b, %c;", f64, f64, f64, f64, ({
         fesetround(FE_UPWARD);
         volatile f64 z = fma(a, b, c);
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op287, 'f', "div.rn.f64 %d, %a, %b;", f64, f64, f64, f64, a / b)
CASE(op288, 'f', "rcp.rn.f64 %d, %a;", f64, f64, f64, f64, 1 / a)
CASE(op289, 'f', "sqrt.rn.f64 %d, %a;", f64, f64, f64, f64, sqrt(a))
CASE(op290, 'f', "abs.f64 %d, %a;", f64, f64, f64, f64, fabs(a))
CASE(op291, 'f', "neg.f64 %d, %a;", f64, f64, f64, f64, -a)
CASE(op292, 'f', "min.f64 %d, %a, %b;", f64, f64, f64, f64,
     isnan(a)   ? b
     : isnan(b) ? a
     : a == b   ? (signbit(a) ? a : b)
     : a < b    ? a
                : b)
CASE(op293, 'f', "max.f64 %d, %a, %b;", f64, f64, f64, f64,
     isnan(a)   ? b
     : isnan(b) ? a
     : a == b   ? (signbit(a) ? b : a)
     : a > b    ? a
                : b)
CASE(op294, 'f', "copysign.f64 %d, %a, %b;", f64, f64, f64, f64, copysign(b, a))
CASE(op295, 0, "setp.eq.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, a == b)
CASE(op296, 0, "setp.ne.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, a<b || a> b)
CASE(op297, 0, "setp.lt.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, a < b)
CASE(op298, 0, "setp.le.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, a <= b)
CASE(op299, 0, "setp.gt.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, a > b)
CASE(op300, 0, "setp.ge.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, a >= b)
CASE(op301, 0, "setp.equ.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     !(a < b || a > b))
CASE(op302, 0, "setp.neu.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, !(a == b))
CASE(op303, 0, "setp.ltu.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, !(a >= b))
CASE(op304, 0, "setp.leu.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, !(a > b))
CASE(op305, 0, "setp.gtu.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, !(a <= b))
CASE(op306, 0, "setp.geu.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64, !(a < b))
CASE(op307, 0, "setp.num.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     !isnan(a) && !isnan(b))
CASE(op308, 0, "setp.nan.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     isnan(a) || isnan(b))
CASE(op309, 0, "testp.finite.f64 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     (isfinite(a)) ? 1 : 0)
CASE(op310, 0, "testp.infinite.f64 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     (isinf(a) != 0) ? 1 : 0)
CASE(op311, 0, "testp.number.f64 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     (!isnan(a)) ? 1 : 0)
CASE(op312, 0, "testp.notanumber.f64 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     (isnan(a)) ? 1 : 0)
CASE(op313, 0, "testp.normal.f64 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     (isnormal(a)) ? 1 : 0)
CASE(op314, 0, "testp.subnormal.f64 %p, %a; selp.u32 %d, 1, 0, %p;", u32, f64, f64, f64,
     (fpclassify(a) == FP_SUBNORMAL) ? 1 : 0)
CASE(op315, 'f', "add.ftz.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         f32 x = (fabsf(a) < 0x1p-126f ? copysignf(0, a) : a) +
                 (fabsf(b) < 0x1p-126f ? copysignf(0, b) : b);
         (fabsf(x) < 0x1p-126f ? copysignf(0, x) : x);
     }))
CASE(op316, 'f', "mul.ftz.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         f32 x = (fabsf(a) < 0x1p-126f ? copysignf(0, a) : a) *
                 (fabsf(b) < 0x1p-126f ? copysignf(0, b) : b);
         (fabsf(x) < 0x1p-126f ? copysignf(0, x) : x);
     }))
CASE(op317, 'f', "add.sat.f32 %d, %a, %b;", f32, f32, f32, f32, ({
         f32 x = a + b;
         x > 1 ? 1 : x > 0 ? x : 0;
     }))
CASE(op318, 'f', "min.NaN.f32 %d, %a, %b;", f32, f32, f32, f32,
     isnan(a) || isnan(b) ? NAN
     : a == b             ? (signbit(a) ? a : b)
     : a < b              ? a
                          : b)
CASE(op319, 'g', "rcp.approx.f32 %d, %a;", f32, f32, f32, f32, 1 / a)
CASE(op320, 'g', "sqrt.approx.f32 %d, %a;", f32, f32, f32, f32, sqrtf(a))
CASE(op321, 'g', "rsqrt.approx.f32 %d, %a;", f32, f32, f32, f32, 1 / sqrt((f64)a))
CASE(op322, 'g', "ex2.approx.f32 %d, %a;", f32, f32, f32, f32, exp2(a))
CASE(op323, 'g', "lg2.approx.f32 %d, %a;", f32, f32, f32, f32, log2((f64)a))
CASE(op324, 'g', "tanh.approx.f32 %d, %a;", f32, f32, f32, f32, tanh((f64)a))
CASE(op325, 'g', "sin.approx.f32 %d, %a;", f32, f32, f32, f32, sin((f64)a))
CASE(op326, 'g', "cos.approx.f32 %d, %a;", f32, f32, f32, f32, cos((f64)a))
CASE(op327, 'g', "div.approx.f32 %d, %a, %b;", f32, f32, f32, f32, a / b)
CASE(op328, 'g', "div.full.f32 %d, %a, %b;", f32, f32, f32, f32, a / b)
CASE(op329, 'g', "rcp.approx.ftz.f64 %d, %a;", f64, f64, f64, f64, 1 / a)
CASE(op330, 'f', "add.f16 %d, %a, %b;", f16, f16, f16, f16, a + b)
CASE(op331, 'f', "sub.f16 %d, %a, %b;", f16, f16, f16, f16, a - b)
CASE(op332, 'f', "mul.f16 %d, %a, %b;", f16, f16, f16, f16, a *b)
CASE(op333, 'f', "fma.rn.f16 %d, %a, %b, %c;", f16, f16, f16, f16, ({
         long double x = (long double)(f64)a * (f64)b + (f64)c;
         (f16) x;
     }))
CASE(op334, 'f', "neg.f16 %d, %a;", f16, f16, f16, f16, -a)
CASE(op335, 'f', "abs.f16 %d, %a;", f16, f16, f16, f16, fabs((f64)a))
CASE(op336, 'f', "min.f16 %d, %a, %b;", f16, f16, f16, f16,
     isnan((f32)a)      ? b
     : isnan((f32)b)    ? a
     : (f32)a == (f32)b ? (signbit((f32)a) ? a : b)
     : (f32)a < (f32)b  ? a
                        : b)
CASE(op337, 0, "setp.lt.f16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f16, f16, f16,
     (f32)a < (f32)b)
CASE(op338, 0, "setp.geu.f16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", u32, f16, f16, f16,
     !((f32)a < (f32)b))
CASE(op339, 'f',
     "{ .reg .b32 x, y; .reg .b16 h; mov.b32 x, {%a, %b}; mov.b32 y, {%b, %c}; add.f16x2 x, x, y; "
     "mov.b32 {h, %d}, x; }",
     f16, f16, f16, f16, b + c)
CASE(op340, 'f',
     "{ .reg .b32 x, y; .reg .b16 h; mov.b32 x, {%a, %b}; mov.b32 y, {%b, %c}; mul.f16x2 x, x, y; "
     "mov.b32 {%d, h}, x; }",
     f16, f16, f16, f16, a *b)
CASE(op341, 'f', "cvt.f32.f16 %d, %a;", f32, f16, f16, f16, a)
CASE(op342, 'f', "cvt.f64.f16 %d, %a;", f64, f16, f16, f16, a)
CASE(op343, 'f', "cvt.rn.f16.f32 %d, %a;", f16, f32, f32, f32, a)
CASE(op344, 'f', "cvt.rn.f16.f64 %d, %a;", f16, f64, f64, f64, a)
CASE(op345, 'f', "cvt.rz.f16.f32 %d, %a;", f16, f32, f32, f32, ({
         f16 h = (f16)a;
         if (fabsf((f32)h) > fabsf(a)) {
             u16 u;
             memcpy(&u, &h, 2);
             u--;
             memcpy(&h, &u, 2);
         }
         h;
     }))
CASE(op346, 0, "cvt.rn.bf16.f32 %d, %a;", u16, f32, f32, f32, ({
         u32 u;
         f32 x = a;
         memcpy(&u, &x, 4);
         u16 h = isnan(x) ? 0x7fff : (u16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
         h;
     }))
CASE(op347, 'f', "cvt.f32.bf16 %d, %a;", f32, u16, u16, u16, ({
         u32 u = (u32)a << 16;
         f32 x;
         memcpy(&x, &u, 4);
         x;
     }))
CASE(op348, 0, "cvt.rn.bf16x2.f32 %d, %a, %b;", u32, f32, f32, f32,
     (u32)({
         u32 u;
         f32 x = a;
         memcpy(&u, &x, 4);
         u16 h = isnan(x) ? 0x7fff : (u16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
         h;
     }) << 16 |
         ({
             u32 u;
             f32 x = b;
             memcpy(&u, &x, 4);
             u16 h = isnan(x) ? 0x7fff : (u16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
             h;
         }))
CASE(op349, 0, "mul.bf16 %d, %a, %b;", u16, u16, u16, u16, ({
         u32 p = (u32)a << 16, q = (u32)b << 16;
         f32 y, z;
         memcpy(&y, &p, 4);
         memcpy(&z, &q, 4);
         ({
             u32 u;
             f32 x = y * z;
             memcpy(&u, &x, 4);
             u16 h = isnan(x) ? 0x7fff : (u16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
             h;
         });
     }))
CASE(op350, 0, "cvt.s8.u8 %d, %a;", u32, u32, u32, u32, (u32)(s8)(u8)a)
CASE(op351, 0, "cvt.sat.s8.u8 %d, %a;", u32, u32, u32, u32,
     (u32)(s8)((u8)a<(-((__int128)1 << 7)) ? (-((__int128)1 << 7)) : (__int128)(u8)a>(
                   ((__int128)1 << 7) - 1)
                   ? (((__int128)1 << 7) - 1)
                   : (__int128)(u8)a))
CASE(op352, 0, "cvt.u16.u8 %d, %a;", u16, u32, u32, u32, (u16)(u16)(u8)a)
CASE(op353, 0, "cvt.sat.u16.u8 %d, %a;", u16, u32, u32, u32,
     (u16)(u16)((u8)a<(0) ? (0) : (__int128)(u8)a>(((__int128)1 << 16) - 1)
                    ? (((__int128)1 << 16) - 1)
                    : (__int128)(u8)a))
CASE(op354, 0, "cvt.s16.u8 %d, %a;", u16, u32, u32, u32, (u16)(s16)(u8)a)
CASE(op355, 0, "cvt.sat.s16.u8 %d, %a;", u16, u32, u32, u32,
     (u16)(s16)((u8)a<(-((__int128)1 << 15)) ? (-((__int128)1 << 15)) : (__int128)(u8)a>(
                    ((__int128)1 << 15) - 1)
                    ? (((__int128)1 << 15) - 1)
                    : (__int128)(u8)a))
CASE(op356, 0, "cvt.u32.u8 %d, %a;", u32, u32, u32, u32, (u32)(u32)(u8)a)
CASE(op357, 0, "cvt.sat.u32.u8 %d, %a;", u32, u32, u32, u32,
     (u32)(u32)((u8)a<(0) ? (0) : (__int128)(u8)a>(((__int128)1 << 32) - 1)
                    ? (((__int128)1 << 32) - 1)
                    : (__int128)(u8)a))
CASE(op358, 0, "cvt.s32.u8 %d, %a;", u32, u32, u32, u32, (u32)(s32)(u8)a)
CASE(op359, 0, "cvt.sat.s32.u8 %d, %a;", u32, u32, u32, u32,
     (u32)(s32)((u8)a<(-((__int128)1 << 31)) ? (-((__int128)1 << 31)) : (__int128)(u8)a>(
                    ((__int128)1 << 31) - 1)
                    ? (((__int128)1 << 31) - 1)
                    : (__int128)(u8)a))
CASE(op360, 0, "cvt.u64.u8 %d, %a;", u64, u32, u32, u32, (u64)(u64)(u8)a)
CASE(op361, 0, "cvt.sat.u64.u8 %d, %a;", u64, u32, u32, u32,
     (u64)(u64)((u8)a<(0) ? (0) : (__int128)(u8)a>(((__int128)1 << 64) - 1)
                    ? (((__int128)1 << 64) - 1)
                    : (__int128)(u8)a))
CASE(op362, 0, "cvt.s64.u8 %d, %a;", u64, u32, u32, u32, (u64)(s64)(u8)a)
CASE(op363, 0, "cvt.sat.s64.u8 %d, %a;", u64, u32, u32, u32,
     (u64)(s64)((u8)a<(-((__int128)1 << 63)) ? (-((__int128)1 << 63)) : (__int128)(u8)a>(
                    ((__int128)1 << 63) - 1)
                    ? (((__int128)1 << 63) - 1)
                    : (__int128)(u8)a))
CASE(op364, 0, "cvt.u8.s8 %d, %a;", u32, u32, u32, u32, (u32)(u8)(s8)a)
CASE(op365, 0, "cvt.sat.u8.s8 %d, %a;", u32, u32, u32, u32,
     (u32)(u8)((s8)a<(0) ? (0) : (__int128)(s8)a>(((__int128)1 << 8) - 1) ? (((__int128)1 << 8) - 1)
                                                                          : (__int128)(s8)a))
CASE(op366, 0, "cvt.u16.s8 %d, %a;", u16, u32, u32, u32, (u16)(u16)(s8)a)
CASE(op367, 0, "cvt.sat.u16.s8 %d, %a;", u16, u32, u32, u32,
     (u16)(u16)((s8)a<(0) ? (0) : (__int128)(s8)a>(((__int128)1 << 16) - 1)
                    ? (((__int128)1 << 16) - 1)
                    : (__int128)(s8)a))
CASE(op368, 0, "cvt.s16.s8 %d, %a;", u16, u32, u32, u32, (u16)(s16)(s8)a)
CASE(op369, 0, "cvt.sat.s16.s8 %d, %a;", u16, u32, u32, u32,
     (u16)(s16)((s8)a<(-((__int128)1 << 15)) ? (-((__int128)1 << 15)) : (__int128)(s8)a>(
                    ((__int128)1 << 15) - 1)
                    ? (((__int128)1 << 15) - 1)
                    : (__int128)(s8)a))
CASE(op370, 0, "cvt.u32.s8 %d, %a;", u32, u32, u32, u32, (u32)(u32)(s8)a)
CASE(op371, 0, "cvt.sat.u32.s8 %d, %a;", u32, u32, u32, u32,
     (u32)(u32)((s8)a<(0) ? (0) : (__int128)(s8)a>(((__int128)1 << 32) - 1)
                    ? (((__int128)1 << 32) - 1)
                    : (__int128)(s8)a))
CASE(op372, 0, "cvt.s32.s8 %d, %a;", u32, u32, u32, u32, (u32)(s32)(s8)a)
CASE(op373, 0, "cvt.sat.s32.s8 %d, %a;", u32, u32, u32, u32,
     (u32)(s32)((s8)a<(-((__int128)1 << 31)) ? (-((__int128)1 << 31)) : (__int128)(s8)a>(
                    ((__int128)1 << 31) - 1)
                    ? (((__int128)1 << 31) - 1)
                    : (__int128)(s8)a))
CASE(op374, 0, "cvt.u64.s8 %d, %a;", u64, u32, u32, u32, (u64)(u64)(s8)a)
CASE(op375, 0, "cvt.sat.u64.s8 %d, %a;", u64, u32, u32, u32,
     (u64)(u64)((s8)a<(0) ? (0) : (__int128)(s8)a>(((__int128)1 << 64) - 1)
                    ? (((__int128)1 << 64) - 1)
                    : (__int128)(s8)a))
CASE(op376, 0, "cvt.s64.s8 %d, %a;", u64, u32, u32, u32, (u64)(s64)(s8)a)
CASE(op377, 0, "cvt.sat.s64.s8 %d, %a;", u64, u32, u32, u32,
     (u64)(s64)((s8)a<(-((__int128)1 << 63)) ? (-((__int128)1 << 63)) : (__int128)(s8)a>(
                    ((__int128)1 << 63) - 1)
                    ? (((__int128)1 << 63) - 1)
                    : (__int128)(s8)a))
CASE(op378, 0, "cvt.u8.u16 %d, %a;", u32, u16, u16, u16, (u32)(u8)(u16)a)
CASE(op379, 0, "cvt.sat.u8.u16 %d, %a;", u32, u16, u16, u16,
     (u32)(u8)((u16)a<(0) ? (0) : (__int128)(u16)a>(((__int128)1 << 8) - 1)
                   ? (((__int128)1 << 8) - 1)
                   : (__int128)(u16)a))
CASE(op380, 0, "cvt.s8.u16 %d, %a;", u32, u16, u16, u16, (u32)(s8)(u16)a)
CASE(op381, 0, "cvt.sat.s8.u16 %d, %a;", u32, u16, u16, u16,
     (u32)(s8)((u16)a<(-((__int128)1 << 7)) ? (-((__int128)1 << 7)) : (__int128)(u16)a>(
                   ((__int128)1 << 7) - 1)
                   ? (((__int128)1 << 7) - 1)
                   : (__int128)(u16)a))
CASE(op382, 0, "cvt.s16.u16 %d, %a;", u16, u16, u16, u16, (u16)(s16)(u16)a)
CASE(op383, 0, "cvt.sat.s16.u16 %d, %a;", u16, u16, u16, u16,
     (u16)(s16)((u16)a<(-((__int128)1 << 15)) ? (-((__int128)1 << 15)) : (__int128)(u16)a>(
                    ((__int128)1 << 15) - 1)
                    ? (((__int128)1 << 15) - 1)
                    : (__int128)(u16)a))
CASE(op384, 0, "cvt.u32.u16 %d, %a;", u32, u16, u16, u16, (u32)(u32)(u16)a)
CASE(op385, 0, "cvt.sat.u32.u16 %d, %a;", u32, u16, u16, u16,
     (u32)(u32)((u16)a<(0) ? (0) : (__int128)(u16)a>(((__int128)1 << 32) - 1)
                    ? (((__int128)1 << 32) - 1)
                    : (__int128)(u16)a))
CASE(op386, 0, "cvt.s32.u16 %d, %a;", u32, u16, u16, u16, (u32)(s32)(u16)a)
CASE(op387, 0, "cvt.sat.s32.u16 %d, %a;", u32, u16, u16, u16,
     (u32)(s32)((u16)a<(-((__int128)1 << 31)) ? (-((__int128)1 << 31)) : (__int128)(u16)a>(
                    ((__int128)1 << 31) - 1)
                    ? (((__int128)1 << 31) - 1)
                    : (__int128)(u16)a))
CASE(op388, 0, "cvt.u64.u16 %d, %a;", u64, u16, u16, u16, (u64)(u64)(u16)a)
CASE(op389, 0, "cvt.sat.u64.u16 %d, %a;", u64, u16, u16, u16,
     (u64)(u64)((u16)a<(0) ? (0) : (__int128)(u16)a>(((__int128)1 << 64) - 1)
                    ? (((__int128)1 << 64) - 1)
                    : (__int128)(u16)a))
CASE(op390, 0, "cvt.s64.u16 %d, %a;", u64, u16, u16, u16, (u64)(s64)(u16)a)
CASE(op391, 0, "cvt.sat.s64.u16 %d, %a;", u64, u16, u16, u16,
     (u64)(s64)((u16)a<(-((__int128)1 << 63)) ? (-((__int128)1 << 63)) : (__int128)(u16)a>(
                    ((__int128)1 << 63) - 1)
                    ? (((__int128)1 << 63) - 1)
                    : (__int128)(u16)a))
CASE(op392, 0, "cvt.u8.s16 %d, %a;", u32, u16, u16, u16, (u32)(u8)(s16)a)
CASE(op393, 0, "cvt.sat.u8.s16 %d, %a;", u32, u16, u16, u16,
     (u32)(u8)((s16)a<(0) ? (0) : (__int128)(s16)a>(((__int128)1 << 8) - 1)
                   ? (((__int128)1 << 8) - 1)
                   : (__int128)(s16)a))
CASE(op394, 0, "cvt.s8.s16 %d, %a;", u32, u16, u16, u16, (u32)(s8)(s16)a)
CASE(op395, 0, "cvt.sat.s8.s16 %d, %a;", u32, u16, u16, u16,
     (u32)(s8)((s16)a<(-((__int128)1 << 7)) ? (-((__int128)1 << 7)) : (__int128)(s16)a>(
                   ((__int128)1 << 7) - 1)
                   ? (((__int128)1 << 7) - 1)
                   : (__int128)(s16)a))
CASE(op396, 0, "cvt.u16.s16 %d, %a;", u16, u16, u16, u16, (u16)(u16)(s16)a)
CASE(op397, 0, "cvt.sat.u16.s16 %d, %a;", u16, u16, u16, u16,
     (u16)(u16)((s16)a<(0) ? (0) : (__int128)(s16)a>(((__int128)1 << 16) - 1)
                    ? (((__int128)1 << 16) - 1)
                    : (__int128)(s16)a))
CASE(op398, 0, "cvt.u32.s16 %d, %a;", u32, u16, u16, u16, (u32)(u32)(s16)a)
CASE(op399, 0, "cvt.sat.u32.s16 %d, %a;", u32, u16, u16, u16,
     (u32)(u32)((s16)a<(0) ? (0) : (__int128)(s16)a>(((__int128)1 << 32) - 1)
                    ? (((__int128)1 << 32) - 1)
                    : (__int128)(s16)a))
CASE(op400, 0, "cvt.s32.s16 %d, %a;", u32, u16, u16, u16, (u32)(s32)(s16)a)
CASE(op401, 0, "cvt.sat.s32.s16 %d, %a;", u32, u16, u16, u16,
     (u32)(s32)((s16)a<(-((__int128)1 << 31)) ? (-((__int128)1 << 31)) : (__int128)(s16)a>(
                    ((__int128)1 << 31) - 1)
                    ? (((__int128)1 << 31) - 1)
                    : (__int128)(s16)a))
CASE(op402, 0, "cvt.u64.s16 %d, %a;", u64, u16, u16, u16, (u64)(u64)(s16)a)
CASE(op403, 0, "cvt.sat.u64.s16 %d, %a;", u64, u16, u16, u16,
     (u64)(u64)((s16)a<(0) ? (0) : (__int128)(s16)a>(((__int128)1 << 64) - 1)
                    ? (((__int128)1 << 64) - 1)
                    : (__int128)(s16)a))
CASE(op404, 0, "cvt.s64.s16 %d, %a;", u64, u16, u16, u16, (u64)(s64)(s16)a)
CASE(op405, 0, "cvt.sat.s64.s16 %d, %a;", u64, u16, u16, u16,
     (u64)(s64)((s16)a<(-((__int128)1 << 63)) ? (-((__int128)1 << 63)) : (__int128)(s16)a>(
                    ((__int128)1 << 63) - 1)
                    ? (((__int128)1 << 63) - 1)
                    : (__int128)(s16)a))
CASE(op406, 0, "cvt.u8.u32 %d, %a;", u32, u32, u32, u32, (u32)(u8)(u32)a)
CASE(op407, 0, "cvt.sat.u8.u32 %d, %a;", u32, u32, u32, u32,
     (u32)(u8)((u32)a<(0) ? (0) : (__int128)(u32)a>(((__int128)1 << 8) - 1)
                   ? (((__int128)1 << 8) - 1)
                   : (__int128)(u32)a))
CASE(op408, 0, "cvt.s8.u32 %d, %a;", u32, u32, u32, u32, (u32)(s8)(u32)a)
CASE(op409, 0, "cvt.sat.s8.u32 %d, %a;", u32, u32, u32, u32,
     (u32)(s8)((u32)a<(-((__int128)1 << 7)) ? (-((__int128)1 << 7)) : (__int128)(u32)a>(
                   ((__int128)1 << 7) - 1)
                   ? (((__int128)1 << 7) - 1)
                   : (__int128)(u32)a))
CASE(op410, 0, "cvt.u16.u32 %d, %a;", u16, u32, u32, u32, (u16)(u16)(u32)a)
CASE(op411, 0, "cvt.sat.u16.u32 %d, %a;", u16, u32, u32, u32,
     (u16)(u16)((u32)a<(0) ? (0) : (__int128)(u32)a>(((__int128)1 << 16) - 1)
                    ? (((__int128)1 << 16) - 1)
                    : (__int128)(u32)a))
CASE(op412, 0, "cvt.s16.u32 %d, %a;", u16, u32, u32, u32, (u16)(s16)(u32)a)
CASE(op413, 0, "cvt.sat.s16.u32 %d, %a;", u16, u32, u32, u32,
     (u16)(s16)((u32)a<(-((__int128)1 << 15)) ? (-((__int128)1 << 15)) : (__int128)(u32)a>(
                    ((__int128)1 << 15) - 1)
                    ? (((__int128)1 << 15) - 1)
                    : (__int128)(u32)a))
CASE(op414, 0, "cvt.s32.u32 %d, %a;", u32, u32, u32, u32, (u32)(s32)(u32)a)
CASE(op415, 0, "cvt.sat.s32.u32 %d, %a;", u32, u32, u32, u32,
     (u32)(s32)((u32)a<(-((__int128)1 << 31)) ? (-((__int128)1 << 31)) : (__int128)(u32)a>(
                    ((__int128)1 << 31) - 1)
                    ? (((__int128)1 << 31) - 1)
                    : (__int128)(u32)a))
CASE(op416, 0, "cvt.u64.u32 %d, %a;", u64, u32, u32, u32, (u64)(u64)(u32)a)
CASE(op417, 0, "cvt.sat.u64.u32 %d, %a;", u64, u32, u32, u32,
     (u64)(u64)((u32)a<(0) ? (0) : (__int128)(u32)a>(((__int128)1 << 64) - 1)
                    ? (((__int128)1 << 64) - 1)
                    : (__int128)(u32)a))
CASE(op418, 0, "cvt.s64.u32 %d, %a;", u64, u32, u32, u32, (u64)(s64)(u32)a)
CASE(op419, 0, "cvt.sat.s64.u32 %d, %a;", u64, u32, u32, u32,
     (u64)(s64)((u32)a<(-((__int128)1 << 63)) ? (-((__int128)1 << 63)) : (__int128)(u32)a>(
                    ((__int128)1 << 63) - 1)
                    ? (((__int128)1 << 63) - 1)
                    : (__int128)(u32)a))
CASE(op420, 0, "cvt.u8.s32 %d, %a;", u32, u32, u32, u32, (u32)(u8)(s32)a)
CASE(op421, 0, "cvt.sat.u8.s32 %d, %a;", u32, u32, u32, u32,
     (u32)(u8)((s32)a<(0) ? (0) : (__int128)(s32)a>(((__int128)1 << 8) - 1)
                   ? (((__int128)1 << 8) - 1)
                   : (__int128)(s32)a))
CASE(op422, 0, "cvt.s8.s32 %d, %a;", u32, u32, u32, u32, (u32)(s8)(s32)a)
CASE(op423, 0, "cvt.sat.s8.s32 %d, %a;", u32, u32, u32, u32,
     (u32)(s8)((s32)a<(-((__int128)1 << 7)) ? (-((__int128)1 << 7)) : (__int128)(s32)a>(
                   ((__int128)1 << 7) - 1)
                   ? (((__int128)1 << 7) - 1)
                   : (__int128)(s32)a))
CASE(op424, 0, "cvt.u16.s32 %d, %a;", u16, u32, u32, u32, (u16)(u16)(s32)a)
CASE(op425, 0, "cvt.sat.u16.s32 %d, %a;", u16, u32, u32, u32,
     (u16)(u16)((s32)a<(0) ? (0) : (__int128)(s32)a>(((__int128)1 << 16) - 1)
                    ? (((__int128)1 << 16) - 1)
                    : (__int128)(s32)a))
CASE(op426, 0, "cvt.s16.s32 %d, %a;", u16, u32, u32, u32, (u16)(s16)(s32)a)
CASE(op427, 0, "cvt.sat.s16.s32 %d, %a;", u16, u32, u32, u32,
     (u16)(s16)((s32)a<(-((__int128)1 << 15)) ? (-((__int128)1 << 15)) : (__int128)(s32)a>(
                    ((__int128)1 << 15) - 1)
                    ? (((__int128)1 << 15) - 1)
                    : (__int128)(s32)a))
CASE(op428, 0, "cvt.u32.s32 %d, %a;", u32, u32, u32, u32, (u32)(u32)(s32)a)
CASE(op429, 0, "cvt.sat.u32.s32 %d, %a;", u32, u32, u32, u32,
     (u32)(u32)((s32)a<(0) ? (0) : (__int128)(s32)a>(((__int128)1 << 32) - 1)
                    ? (((__int128)1 << 32) - 1)
                    : (__int128)(s32)a))
CASE(op430, 0, "cvt.u64.s32 %d, %a;", u64, u32, u32, u32, (u64)(u64)(s32)a)
CASE(op431, 0, "cvt.sat.u64.s32 %d, %a;", u64, u32, u32, u32,
     (u64)(u64)((s32)a<(0) ? (0) : (__int128)(s32)a>(((__int128)1 << 64) - 1)
                    ? (((__int128)1 << 64) - 1)
                    : (__int128)(s32)a))
CASE(op432, 0, "cvt.s64.s32 %d, %a;", u64, u32, u32, u32, (u64)(s64)(s32)a)
CASE(op433, 0, "cvt.sat.s64.s32 %d, %a;", u64, u32, u32, u32,
     (u64)(s64)((s32)a<(-((__int128)1 << 63)) ? (-((__int128)1 << 63)) : (__int128)(s32)a>(
                    ((__int128)1 << 63) - 1)
                    ? (((__int128)1 << 63) - 1)
                    : (__int128)(s32)a))
CASE(op434, 0, "cvt.u8.u64 %d, %a;", u32, u64, u64, u64, (u32)(u8)(u64)a)
CASE(op435, 0, "cvt.sat.u8.u64 %d, %a;", u32, u64, u64, u64,
     (u32)(u8)((u64)a<(0) ? (0) : (__int128)(u64)a>(((__int128)1 << 8) - 1)
                   ? (((__int128)1 << 8) - 1)
                   : (__int128)(u64)a))
CASE(op436, 0, "cvt.s8.u64 %d, %a;", u32, u64, u64, u64, (u32)(s8)(u64)a)
CASE(op437, 0, "cvt.sat.s8.u64 %d, %a;", u32, u64, u64, u64,
     (u32)(s8)((u64)a<(-((__int128)1 << 7)) ? (-((__int128)1 << 7)) : (__int128)(u64)a>(
                   ((__int128)1 << 7) - 1)
                   ? (((__int128)1 << 7) - 1)
                   : (__int128)(u64)a))
CASE(op438, 0, "cvt.u16.u64 %d, %a;", u16, u64, u64, u64, (u16)(u16)(u64)a)
CASE(op439, 0, "cvt.sat.u16.u64 %d, %a;", u16, u64, u64, u64,
     (u16)(u16)((u64)a<(0) ? (0) : (__int128)(u64)a>(((__int128)1 << 16) - 1)
                    ? (((__int128)1 << 16) - 1)
                    : (__int128)(u64)a))
CASE(op440, 0, "cvt.s16.u64 %d, %a;", u16, u64, u64, u64, (u16)(s16)(u64)a)
CASE(op441, 0, "cvt.sat.s16.u64 %d, %a;", u16, u64, u64, u64,
     (u16)(s16)((u64)a<(-((__int128)1 << 15)) ? (-((__int128)1 << 15)) : (__int128)(u64)a>(
                    ((__int128)1 << 15) - 1)
                    ? (((__int128)1 << 15) - 1)
                    : (__int128)(u64)a))
CASE(op442, 0, "cvt.u32.u64 %d, %a;", u32, u64, u64, u64, (u32)(u32)(u64)a)
CASE(op443, 0, "cvt.sat.u32.u64 %d, %a;", u32, u64, u64, u64,
     (u32)(u32)((u64)a<(0) ? (0) : (__int128)(u64)a>(((__int128)1 << 32) - 1)
                    ? (((__int128)1 << 32) - 1)
                    : (__int128)(u64)a))
CASE(op444, 0, "cvt.s32.u64 %d, %a;", u32, u64, u64, u64, (u32)(s32)(u64)a)
CASE(op445, 0, "cvt.sat.s32.u64 %d, %a;", u32, u64, u64, u64,
     (u32)(s32)((u64)a<(-((__int128)1 << 31)) ? (-((__int128)1 << 31)) : (__int128)(u64)a>(
                    ((__int128)1 << 31) - 1)
                    ? (((__int128)1 << 31) - 1)
                    : (__int128)(u64)a))
CASE(op446, 0, "cvt.s64.u64 %d, %a;", u64, u64, u64, u64, (u64)(s64)(u64)a)
CASE(op447, 0, "cvt.sat.s64.u64 %d, %a;", u64, u64, u64, u64,
     (u64)(s64)((u64)a<(-((__int128)1 << 63)) ? (-((__int128)1 << 63)) : (__int128)(u64)a>(
                    ((__int128)1 << 63) - 1)
                    ? (((__int128)1 << 63) - 1)
                    : (__int128)(u64)a))
CASE(op448, 0, "cvt.u8.s64 %d, %a;", u32, u64, u64, u64, (u32)(u8)(s64)a)
CASE(op449, 0, "cvt.sat.u8.s64 %d, %a;", u32, u64, u64, u64,
     (u32)(u8)((s64)a<(0) ? (0) : (__int128)(s64)a>(((__int128)1 << 8) - 1)
                   ? (((__int128)1 << 8) - 1)
                   : (__int128)(s64)a))
CASE(op450, 0, "cvt.s8.s64 %d, %a;", u32, u64, u64, u64, (u32)(s8)(s64)a)
CASE(op451, 0, "cvt.sat.s8.s64 %d, %a;", u32, u64, u64, u64,
     (u32)(s8)((s64)a<(-((__int128)1 << 7)) ? (-((__int128)1 << 7)) : (__int128)(s64)a>(
                   ((__int128)1 << 7) - 1)
                   ? (((__int128)1 << 7) - 1)
                   : (__int128)(s64)a))
CASE(op452, 0, "cvt.u16.s64 %d, %a;", u16, u64, u64, u64, (u16)(u16)(s64)a)
CASE(op453, 0, "cvt.sat.u16.s64 %d, %a;", u16, u64, u64, u64,
     (u16)(u16)((s64)a<(0) ? (0) : (__int128)(s64)a>(((__int128)1 << 16) - 1)
                    ? (((__int128)1 << 16) - 1)
                    : (__int128)(s64)a))
CASE(op454, 0, "cvt.s16.s64 %d, %a;", u16, u64, u64, u64, (u16)(s16)(s64)a)
CASE(op455, 0, "cvt.sat.s16.s64 %d, %a;", u16, u64, u64, u64,
     (u16)(s16)((s64)a<(-((__int128)1 << 15)) ? (-((__int128)1 << 15)) : (__int128)(s64)a>(
                    ((__int128)1 << 15) - 1)
                    ? (((__int128)1 << 15) - 1)
                    : (__int128)(s64)a))
CASE(op456, 0, "cvt.u32.s64 %d, %a;", u32, u64, u64, u64, (u32)(u32)(s64)a)
CASE(op457, 0, "cvt.sat.u32.s64 %d, %a;", u32, u64, u64, u64,
     (u32)(u32)((s64)a<(0) ? (0) : (__int128)(s64)a>(((__int128)1 << 32) - 1)
                    ? (((__int128)1 << 32) - 1)
                    : (__int128)(s64)a))
CASE(op458, 0, "cvt.s32.s64 %d, %a;", u32, u64, u64, u64, (u32)(s32)(s64)a)
CASE(op459, 0, "cvt.sat.s32.s64 %d, %a;", u32, u64, u64, u64,
     (u32)(s32)((s64)a<(-((__int128)1 << 31)) ? (-((__int128)1 << 31)) : (__int128)(s64)a>(
                    ((__int128)1 << 31) - 1)
                    ? (((__int128)1 << 31) - 1)
                    : (__int128)(s64)a))
CASE(op460, 0, "cvt.u64.s64 %d, %a;", u64, u64, u64, u64, (u64)(u64)(s64)a)
CASE(op461, 0, "cvt.sat.u64.s64 %d, %a;", u64, u64, u64, u64,
     (u64)(u64)((s64)a<(0) ? (0) : (__int128)(s64)a>(((__int128)1 << 64) - 1)
                    ? (((__int128)1 << 64) - 1)
                    : (__int128)(s64)a))
CASE(op462, 'f', "cvt.rn.f32.u16 %d, %a;", f32, u16, u16, u16, a)
CASE(op463, 'f', "cvt.rn.f64.u16 %d, %a;", f64, u16, u16, u16, a)
CASE(op464, 'f', "cvt.rz.f32.u16 %d, %a;", f32, u16, u16, u16, ({
         fesetround(FE_TOWARDZERO);
         volatile u16 x = a;
         volatile f32 z = (f32)x;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op465, 'f', "cvt.rn.f16.u16 %d, %a;", f16, u16, u16, u16, a)
CASE(op466, 'f', "cvt.rn.f32.s16 %d, %a;", f32, s16, s16, s16, a)
CASE(op467, 'f', "cvt.rn.f64.s16 %d, %a;", f64, s16, s16, s16, a)
CASE(op468, 'f', "cvt.rz.f32.s16 %d, %a;", f32, s16, s16, s16, ({
         fesetround(FE_TOWARDZERO);
         volatile s16 x = a;
         volatile f32 z = (f32)x;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op469, 'f', "cvt.rn.f16.s16 %d, %a;", f16, s16, s16, s16, a)
CASE(op470, 'f', "cvt.rn.f32.u32 %d, %a;", f32, u32, u32, u32, a)
CASE(op471, 'f', "cvt.rn.f64.u32 %d, %a;", f64, u32, u32, u32, a)
CASE(op472, 'f', "cvt.rz.f32.u32 %d, %a;", f32, u32, u32, u32, ({
         fesetround(FE_TOWARDZERO);
         volatile u32 x = a;
         volatile f32 z = (f32)x;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op473, 'f', "cvt.rn.f16.u32 %d, %a;", f16, u32, u32, u32, a)
CASE(op474, 'f', "cvt.rn.f32.s32 %d, %a;", f32, s32, s32, s32, a)
CASE(op475, 'f', "cvt.rn.f64.s32 %d, %a;", f64, s32, s32, s32, a)
CASE(op476, 'f', "cvt.rz.f32.s32 %d, %a;", f32, s32, s32, s32, ({
         fesetround(FE_TOWARDZERO);
         volatile s32 x = a;
         volatile f32 z = (f32)x;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op477, 'f', "cvt.rn.f16.s32 %d, %a;", f16, s32, s32, s32, a)
CASE(op478, 'f', "cvt.rn.f32.u64 %d, %a;", f32, u64, u64, u64, a)
CASE(op479, 'f', "cvt.rn.f64.u64 %d, %a;", f64, u64, u64, u64, a)
CASE(op480, 'f', "cvt.rz.f32.u64 %d, %a;", f32, u64, u64, u64, ({
         fesetround(FE_TOWARDZERO);
         volatile u64 x = a;
         volatile f32 z = (f32)x;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op481, 'f', "cvt.rn.f16.u64 %d, %a;", f16, u64, u64, u64, a)
CASE(op482, 'f', "cvt.rn.f32.s64 %d, %a;", f32, s64, s64, s64, a)
CASE(op483, 'f', "cvt.rn.f64.s64 %d, %a;", f64, s64, s64, s64, a)
CASE(op484, 'f', "cvt.rz.f32.s64 %d, %a;", f32, s64, s64, s64, ({
         fesetround(FE_TOWARDZERO);
         volatile s64 x = a;
         volatile f32 z = (f32)x;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op485, 'f', "cvt.rn.f16.s64 %d, %a;", f16, s64, s64, s64, a)
CASE(op486, 0, "cvt.rni.u8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op487, 0, "cvt.rzi.u8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op488, 0, "cvt.rmi.u8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op489, 0, "cvt.rpi.u8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op490, 0, "cvt.rni.s8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op491, 0, "cvt.rzi.s8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op492, 0, "cvt.rmi.s8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op493, 0, "cvt.rpi.s8.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op494, 0, "cvt.rni.u16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op495, 0, "cvt.rzi.u16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op496, 0, "cvt.rmi.u16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op497, 0, "cvt.rpi.u16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op498, 0, "cvt.rni.s16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op499, 0, "cvt.rzi.s16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op500, 0, "cvt.rmi.s16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op501, 0, "cvt.rpi.s16.f32 %d, %a;", u16, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op502, 0, "cvt.rni.u32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op503, 0, "cvt.rzi.u32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op504, 0, "cvt.rmi.u32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op505, 0, "cvt.rpi.u32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op506, 0, "cvt.rni.s32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op507, 0, "cvt.rzi.s32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op508, 0, "cvt.rmi.s32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op509, 0, "cvt.rpi.s32.f32 %d, %a;", u32, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op510, 0, "cvt.rni.u64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op511, 0, "cvt.rzi.u64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op512, 0, "cvt.rmi.u64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op513, 0, "cvt.rpi.u64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op514, 0, "cvt.rni.s64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op515, 0, "cvt.rzi.s64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op516, 0, "cvt.rmi.s64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op517, 0, "cvt.rpi.s64.f32 %d, %a;", u64, f32, f32, f32, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op518, 'f', "cvt.rni.f32.f32 %d, %a;", f32, f32, f32, f32, nearbyint((f64)a))
CASE(op519, 'f', "cvt.rzi.f32.f32 %d, %a;", f32, f32, f32, f32, trunc((f64)a))
CASE(op520, 'f', "cvt.rmi.f32.f32 %d, %a;", f32, f32, f32, f32, floor((f64)a))
CASE(op521, 'f', "cvt.rpi.f32.f32 %d, %a;", f32, f32, f32, f32, ceil((f64)a))
CASE(op522, 0, "cvt.rni.u8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op523, 0, "cvt.rzi.u8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op524, 0, "cvt.rmi.u8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op525, 0, "cvt.rpi.u8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 8) ? ((__int128)1 << 8) - 1
                      : x < 0.0          ? 0
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op526, 0, "cvt.rni.s8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op527, 0, "cvt.rzi.s8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op528, 0, "cvt.rmi.s8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op529, 0, "cvt.rpi.s8.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)           ? 0
                      : x >= ldexp(1, 7) ? ((__int128)1 << 7) - 1
                      : x < -ldexp(1, 7) ? -((__int128)1 << 7)
                                         : (__int128)x;
         (u64) y;
     }))
CASE(op530, 0, "cvt.rni.u16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op531, 0, "cvt.rzi.u16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op532, 0, "cvt.rmi.u16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op533, 0, "cvt.rpi.u16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 16) ? ((__int128)1 << 16) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op534, 0, "cvt.rni.s16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op535, 0, "cvt.rzi.s16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op536, 0, "cvt.rmi.s16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op537, 0, "cvt.rpi.s16.f64 %d, %a;", u16, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 15) ? ((__int128)1 << 15) - 1
                      : x < -ldexp(1, 15) ? -((__int128)1 << 15)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op538, 0, "cvt.rni.u32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op539, 0, "cvt.rzi.u32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op540, 0, "cvt.rmi.u32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op541, 0, "cvt.rpi.u32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 32) ? ((__int128)1 << 32) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op542, 0, "cvt.rni.s32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op543, 0, "cvt.rzi.s32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op544, 0, "cvt.rmi.s32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op545, 0, "cvt.rpi.s32.f64 %d, %a;", u32, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 31) ? ((__int128)1 << 31) - 1
                      : x < -ldexp(1, 31) ? -((__int128)1 << 31)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op546, 0, "cvt.rni.u64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op547, 0, "cvt.rzi.u64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op548, 0, "cvt.rmi.u64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op549, 0, "cvt.rpi.u64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 64) ? ((__int128)1 << 64) - 1
                      : x < 0.0           ? 0
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op550, 0, "cvt.rni.s64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = nearbyint((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op551, 0, "cvt.rzi.s64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = trunc((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op552, 0, "cvt.rmi.s64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = floor((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op553, 0, "cvt.rpi.s64.f64 %d, %a;", u64, f64, f64, f64, ({
         f64 x = ceil((f64)a);
         __int128 y = isnan(x)            ? 0
                      : x >= ldexp(1, 63) ? ((__int128)1 << 63) - 1
                      : x < -ldexp(1, 63) ? -((__int128)1 << 63)
                                          : (__int128)x;
         (u64) y;
     }))
CASE(op554, 'f', "cvt.rni.f64.f64 %d, %a;", f64, f64, f64, f64, nearbyint((f64)a))
CASE(op555, 'f', "cvt.rzi.f64.f64 %d, %a;", f64, f64, f64, f64, trunc((f64)a))
CASE(op556, 'f', "cvt.rmi.f64.f64 %d, %a;", f64, f64, f64, f64, floor((f64)a))
CASE(op557, 'f', "cvt.rpi.f64.f64 %d, %a;", f64, f64, f64, f64, ceil((f64)a))
CASE(op558, 'f', "cvt.f64.f32 %d, %a;", f64, f32, f32, f32, a)
CASE(op559, 'f', "cvt.rn.f32.f64 %d, %a;", f32, f64, f64, f64, a)
CASE(op560, 'f', "cvt.rp.f32.f64 %d, %a;", f32, f64, f64, f64, ({
         fesetround(FE_UPWARD);
         volatile f64 x = a;
         volatile f32 z = (f32)x;
         fesetround(FE_TONEAREST);
         z;
     }))
CASE(op561, 'f', "cvt.sat.f32.f32 %d, %a;", f32, f32, f32, f32, a > 1 ? 1 : a > 0 ? a : 0)
