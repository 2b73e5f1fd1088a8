#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a file's bytes as a NUL-terminated C array: embed.py INPUT OUTPUT SYMBOL."""
import sys


def main():
    source, target, symbol = sys.argv[1:]
    with open(source, 'rb') as f:
        data = f.read() + b'\0'
    rows = (', '.join(str(b) for b in data[i:i + 20]) for i in range(0, len(data), 20))
    with open(target, 'w', encoding='ascii') as f:
        f.write(f'extern const char {symbol}[];\nconst char {symbol}[] = {{\n')
        f.writelines(f'    {row},\n' for row in rows)
        f.write('};\n')


if __name__ == '__main__':
    main()
