/* SPDX-License-Identifier: Apache-2.0 */
#include "lexer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void lexer_init(struct lexer *lx, const char *text, size_t len)
{
    lx->p = text;
    lx->end = text + len;
    lx->line = 1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '$';
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool skip_blank(struct lexer *lx)
{
    while (lx->p < lx->end) {
        char c = *lx->p;

        if (c == '\n') {
            lx->line++;
            lx->p++;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' || c == '\0') {
            lx->p++; /* NUL: drivers are handed texts whose length counts the terminator */
        } else if (c == '/' && lx->end - lx->p > 1 && lx->p[1] == '/') {
            while (lx->p < lx->end && *lx->p != '\n')
                lx->p++;
        } else if (c == '/' && lx->end - lx->p > 1 && lx->p[1] == '*') {
            lx->p += 2;
            for (;;) {
                if (lx->end - lx->p < 2)
                    return false;
                if (lx->p[0] == '*' && lx->p[1] == '/')
                    break;
                if (*lx->p == '\n')
                    lx->line++;
                lx->p++;
            }
            lx->p += 2;
        } else {
            return true;
        }
    }
    return true;
}

static void scan_number(struct lexer *lx, struct token *t)
{
    const char *p = lx->p, *end = lx->end;
    unsigned base = 10;
    bool overflow = false;
    uint64_t v = 0;

    if (*p == '0' && end - p > 1) {
        char k = p[1] | 0x20;

        if (k == 'f' || k == 'd') {
            int digits = k == 'f' ? 8 : 16, i;

            p += 2;
            for (i = 0; i < digits && p < end && hex_value(*p) >= 0; i++)
                v = v << 4 | (unsigned)hex_value(*p++);
            t->kind = i == digits ? (k == 'f' ? TK_F32 : TK_F64) : TK_BAD;
            goto done;
        }
        if (k == 'x') {
            base = 16;
            p += 2;
        } else if (k == 'b') {
            base = 2;
            p += 2;
        } else if (is_digit(p[1])) {
            base = 8;
            p++;
        }
    }
    if (base == 10) {
        const char *q = p;
        bool real = false;

        while (q < end && is_digit(*q))
            q++;
        if (q < end && *q == '.' && end - q > 1 && is_digit(q[1])) {
            real = true;
            for (q++; q < end && is_digit(*q);)
                q++;
        } else if (q < end && *q == '.' && (end - q == 1 || !is_word(q[1]))) {
            real = true;
            q++;
        }
        if (q < end && (*q | 0x20) == 'e') {
            const char *e = q + 1;

            if (e < end && (*e == '+' || *e == '-'))
                e++;
            if (e < end && is_digit(*e)) {
                real = true;
                while (e < end && is_digit(*e))
                    e++;
                q = e;
            }
        }
        if (real) {
            char text[128];
            size_t n = (size_t)(q - p);
            double d;

            t->kind = n < sizeof(text) ? TK_F64 : TK_BAD;
            if (n >= sizeof(text))
                n = sizeof(text) - 1;
            memcpy(text, p, n);
            text[n] = 0;
            d = strtod(text, NULL);
            memcpy(&v, &d, sizeof(v));
            p = q;
            goto done;
        }
    }
    t->kind = TK_INT;
    {
        const char *first = p;

        while (p < end && hex_value(*p) >= 0 && (unsigned)hex_value(*p) < base) {
            overflow |= v > (UINT64_MAX - (unsigned)hex_value(*p)) / base;
            v = v * base + (unsigned)hex_value(*p++);
        }
        if (p == first && base != 8)
            t->kind = TK_BAD;
    }
    if (p < end && (*p == 'U' || *p == 'u'))
        p++;
    if (overflow)
        t->kind = TK_BAD;
done:
    if (p < end && is_word(*p)) {
        t->kind = TK_BAD;
        while (p < end && is_word(*p))
            p++;
    }
    t->value = v;
    t->n = (size_t)(p - lx->p);
    lx->p = p;
}

struct token lexer_next(struct lexer *lx)
{
    struct token t = {.kind = TK_END};
    const char *p;
    char c;

    if (!skip_blank(lx)) {
        t.kind = TK_BAD;
        t.s = "/*";
        t.n = 2;
        t.line = lx->line;
        lx->p = lx->end;
        return t;
    }
    t.line = lx->line;
    t.s = lx->p;
    if (lx->p >= lx->end)
        return t;
    c = *lx->p;
    p = lx->p + 1;
    if (is_digit(c)) {
        scan_number(lx, &t);
        return t;
    }
    if (is_word(c) || c == '%') {
        while (p < lx->end && is_word(*p))
            p++;
        t.kind = TK_IDENT;
        if (c == '%' && p == lx->p + 1) {
            t.kind = TK_PUNCT;
            t.punct = c;
        }
    } else if (c == '.') {
        t.s = p;
        while (p < lx->end && (is_word(*p) || (*p == ':' && lx->end - p > 1 && p[1] == ':') ||
                               (*p == ':' && p[-1] == ':')))
            p++;
        t.kind = p > t.s ? TK_DOT : TK_BAD;
        t.n = (size_t)(p - t.s);
        lx->p = p;
        return t;
    } else if (c == '"') {
        t.s = p;
        while (p < lx->end && *p != '"' && *p != '\n')
            p++;
        t.n = (size_t)(p - t.s);
        t.kind = p < lx->end && *p == '"' ? TK_STRING : TK_BAD;
        lx->p = p < lx->end && *p == '"' ? p + 1 : p;
        return t;
    } else {
        t.kind = c > ' ' && c < 127 ? TK_PUNCT : TK_BAD;
        t.punct = c;
    }
    t.n = (size_t)(p - t.s);
    lx->p = p;
    return t;
}
