#include "engine/core/isa.h"

#include <doctest/doctest.h>

#include <string>

namespace mpq {
namespace {

TEST_CASE("instruction sets have names that parse, and contain the smaller ones") {
  REQUIRE(SupportedIsas().front() == Isa::kScalar);
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(std::string(IsaName(isa)));
    const Result<Isa> parsed = ParseIsa(IsaName(isa));
    REQUIRE(parsed.ok());
    CHECK(*parsed == isa);
    CHECK(IsaIncludes(isa, Isa::kScalar));
    CHECK(IsaIncludes(isa, isa));
  }
  CHECK(IsaIncludes(Isa::kAvx512Vnni, Isa::kAvx2));
  CHECK_FALSE(IsaIncludes(Isa::kAvx512Vnni, Isa::kAvxVnni));
  CHECK_FALSE(IsaIncludes(Isa::kAvx2, Isa::kAvx512));
  CHECK_FALSE(IsaIncludes(Isa::kNeon, Isa::kSse4));
  CHECK_FALSE(IsaIncludes(Isa::kScalar, Isa::kNeon));
}

TEST_CASE("an unknown instruction set is named in the error") {
  const Result<Isa> isa = ParseIsa("mmx");
  REQUIRE_FALSE(isa.ok());
  CHECK(isa.status().message().find("'mmx'") != std::string::npos);
}

}  // namespace
}  // namespace mpq
