/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexer.h - splits PTX text into tokens
 *
 * The text need not be NUL-terminated and may hold any bytes. Tokens point into it.
 */
#ifndef VGPU_SOFTGPU_LEXER_H
#define VGPU_SOFTGPU_LEXER_H

#include <stddef.h>
#include <stdint.h>

enum token_kind {
    TK_END,
    TK_IDENT,  /* a name, with its leading %, $ or _ */
    TK_DOT,    /* a directive or modifier; the text excludes the dot */
    TK_INT,    /* value */
    TK_F32,    /* 0f........: value holds the bits */
    TK_F64,    /* 0d................ or decimal: value holds the bits */
    TK_STRING, /* text excludes the quotes */
    TK_PUNCT,  /* one character, in punct */
    TK_BAD,    /* text is the offending character or literal */
};

struct token {
    enum token_kind kind;
    char punct;
    const char *s;
    size_t n;
    uint32_t line;
    uint64_t value;
};

struct lexer {
    const char *p, *end;
    uint32_t line;
};

void lexer_init(struct lexer *lx, const char *text, size_t len);
struct token lexer_next(struct lexer *lx);

#endif
