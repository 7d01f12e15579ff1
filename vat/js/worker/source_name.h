// The name of a source that is evaluated: `//# sourceURL=NAME` on its last line. quickjs.c includes it.
#pragma once

// Bytes of a name and its end. Longer names are none.
enum { SOURCE_NAME_BYTES = 256 };

static bool is_source_name_byte(char byte) {
  return byte > ' ' && byte < 0x7f && byte != '(' && byte != ')';
}

// Writes the name to `name` and returns it, or returns a name for sources that have none. `text` ends with a zero.
static const char *source_name(const char *text, size_t length, char name[SOURCE_NAME_BYTES]) {
  static const char MARK[] = "//# sourceURL=";
  static const char UNNAMED[] = "<input>";
  enum { MARK_BYTES = sizeof MARK - 1 };
  size_t end = length;
  while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' ')) end--;
  size_t start = end;
  while (start > 0 && end - start < SOURCE_NAME_BYTES && is_source_name_byte(text[start - 1])) start--;
  // The mark has a space, so `start` is behind that.
  static const char AFTER_SPACE[] = "sourceURL=";
  enum { AFTER_SPACE_BYTES = sizeof AFTER_SPACE - 1, BEFORE_BYTES = MARK_BYTES - AFTER_SPACE_BYTES };
  if (start < BEFORE_BYTES || end - start <= AFTER_SPACE_BYTES) return UNNAMED;
  if (memcmp(text + start - BEFORE_BYTES, MARK, MARK_BYTES)) return UNNAMED;
  size_t bytes = end - start - AFTER_SPACE_BYTES;
  if (bytes >= SOURCE_NAME_BYTES) return UNNAMED;
  memcpy(name, text + start + AFTER_SPACE_BYTES, bytes);
  name[bytes] = 0;
  return name;
}
