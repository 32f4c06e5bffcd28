#include "format/text.h"

#include <doctest/doctest.h>

#include <string_view>

namespace mpq {
namespace {

TEST_CASE("plain text") {
  CHECK(IsPlainText(""));
  CHECK(IsPlainText("tench, Tinca tinca"));
  CHECK(IsPlainText("\u00e9\u4e2d\U0001f600"));
  CHECK(IsPlainText("\xf4\x8f\xbf\xbf"));  // U+10FFFF
  CHECK(IsPlainText("two\n\tlines", true));
}

TEST_CASE("control characters") {
  CHECK(!IsPlainText("two\nlines"));
  CHECK(!IsPlainText("a\x1b[31m", true));
  CHECK(!IsPlainText("\x7f"));
  CHECK(!IsPlainText(std::string_view("a\0b", 3), true));
}

TEST_CASE("malformed UTF-8") {
  for (const std::string_view text :
       {"\x80", "\xc3", "\xc3(", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    CHECK(!IsPlainText(text));
  }
}

}  // namespace
}  // namespace mpq
