#include "codec.h"

#include <string.h>

static const char BASE64_ALPHABET[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const uint8_t REPLACEMENT[3] = {0xEF, 0xBF, 0xBD};

void utf8_replace_surrogates(uint8_t *text, size_t length) {
  for (size_t i = 0; i + 2 < length; i++) {
    if (text[i] == 0xED && text[i + 1] >= 0xA0) memcpy(text + i, REPLACEMENT, 3);
  }
}

// Returns the length of the sequence at the start of `text` if it is valid. Otherwise returns minus the length of the
// maximal invalid part (at least 1). The table of well-formed sequences is 3-7 of the Unicode standard. `length` is
// not 0.
static int utf8_sequence(const uint8_t *text, size_t length) {
  uint8_t first = text[0];
  if (first < 0x80) return 1;
  int size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return -1;
  uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  for (int i = 1; i < size; i++) {
    if ((size_t)i >= length || text[i] < low || text[i] > high) return -i;
    low = 0x80;
    high = 0xBF;
  }
  return size;
}

bool utf8_is_valid(const uint8_t *text, size_t length) {
  for (size_t i = 0; i < length;) {
    int size = utf8_sequence(text + i, length - i);
    if (size < 0) return false;
    i += size;
  }
  return true;
}

size_t utf8_repair(const uint8_t *text, size_t length, uint8_t *out) {
  size_t written = 0;
  for (size_t i = 0; i < length;) {
    int size = utf8_sequence(text + i, length - i);
    memcpy(out + written, size > 0 ? text + i : REPLACEMENT, size > 0 ? size : 3);
    written += size > 0 ? size : 3;
    i += size > 0 ? size : -size;
  }
  return written;
}

size_t base64_encoded_length(size_t length) { return (length + 2) / 3 * 4; }

void base64_encode(const uint8_t *bytes, size_t length, char *out) {
  for (size_t i = 0; i < length; i += 3, out += 4) {
    size_t left = length - i;
    uint32_t group = (uint32_t)bytes[i] << 16;
    if (left > 1) group |= (uint32_t)bytes[i + 1] << 8;
    if (left > 2) group |= bytes[i + 2];
    out[0] = BASE64_ALPHABET[group >> 18];
    out[1] = BASE64_ALPHABET[group >> 12 & 63];
    out[2] = left > 1 ? BASE64_ALPHABET[group >> 6 & 63] : '=';
    out[3] = left > 2 ? BASE64_ALPHABET[group & 63] : '=';
  }
}

// Returns the six bits of a letter of the alphabet, or -1.
static int base64_bits(uint8_t letter) {
  if (letter >= 'A' && letter <= 'Z') return letter - 'A';
  if (letter >= 'a' && letter <= 'z') return letter - 'a' + 26;
  if (letter >= '0' && letter <= '9') return letter - '0' + 52;
  return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

int64_t base64_decode(const char *text, size_t length, uint8_t *out) {
  if (length % 4) return -1;
  size_t letters = length;
  while (letters && length - letters < 2 && text[letters - 1] == '=') letters--;
  size_t written = 0;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < letters; i++) {
    int value = base64_bits(text[i]);
    if (value < 0) return -1;
    bits = bits << 6 | (uint32_t)value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out[written++] = (uint8_t)(bits >> count);
    }
  }
  bool leftover_is_zero = (bits & ((1u << count) - 1)) == 0;
  return leftover_is_zero ? (int64_t)written : -1;
}
