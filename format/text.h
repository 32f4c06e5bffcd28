// What text in a model may be: names and labels end up in terminals and in JSON.
#ifndef MPQ_FORMAT_TEXT_H_
#define MPQ_FORMAT_TEXT_H_

#include <string_view>

namespace mpq {

// Valid UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF) without control characters
// (below U+0020, U+007F), of which "\n" and "\t" pass with `several_lines`.
bool IsPlainText(std::string_view text, bool several_lines = false);

}  // namespace mpq

#endif  // MPQ_FORMAT_TEXT_H_
