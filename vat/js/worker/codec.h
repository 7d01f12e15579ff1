// Text and base64, as pure functions over bytes.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Replaces each surrogate in QuickJS's generalised UTF-8 by U+FFFD, in place, since both take three bytes.
void utf8_replace_surrogates(uint8_t *text, size_t length);

// Returns true if the bytes are UTF-8 by the Unicode standard (no surrogates, no overlong forms).
bool utf8_is_valid(const uint8_t *text, size_t length);

// Copies `text` with U+FFFD in place of each maximal invalid part, as the WHATWG Encoding Standard
// decodes. `out` must hold three times `length`. Returns the length of the copy.
size_t utf8_repair(const uint8_t *text, size_t length, uint8_t *out);

// Returns the size of the encoding of `length` bytes.
size_t base64_encoded_length(size_t length);

// Encodes with the standard alphabet and padding.
void base64_encode(const uint8_t *bytes, size_t length, char *out);

// Decodes padded base64 to `out`, which must hold `length / 4 * 3` bytes. Returns the number of
// bytes, or -1 if the text is not the encoding of those bytes.
int64_t base64_decode(const char *text, size_t length, uint8_t *out);
