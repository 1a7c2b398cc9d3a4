#include "tests/testing/vectors.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>

#include "common/base/check.h"
#include "common/base/text.h"

namespace coffer::testing {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::string part;
  for (std::istringstream stream(text); std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

Bytes lines(std::size_t count) {
  Bytes bytes;
  for (unsigned n = 0; bytes.size() < count; ++n) append(bytes, as_bytes("line " + std::to_string(n) + "\n"));
  bytes.resize(count);
  return bytes;
}

Bytes noise(std::uint64_t x, std::size_t count) {
  Bytes bytes;
  for (Writer writer(bytes); bytes.size() < count;) {
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    writer.put(x * 2685821657736338717u);
  }
  bytes.resize(count);
  return bytes;
}

}  // namespace

std::vector<std::vector<std::string>> read_cases(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path << " cannot be read";
  std::vector<std::vector<std::string>> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream stream(line.substr(0, line.find('#')));
    std::vector<std::string> fields;
    for (std::string field; stream >> field;) fields.push_back(field);
    if (!fields.empty()) cases.push_back(fields);
  }
  return cases;
}

Bytes make_plain(std::string_view description) {
  const std::vector<std::string> parts = split(std::string(description), ':');
  const std::string kind = parts.empty() ? "" : parts[0];
  if (kind == "hex") return parts.size() > 1 ? base::from_hex(parts[1]).value() : Bytes();
  if (kind == "lines") return lines(std::stoull(parts.at(1)));
  if (kind == "repeat") return Bytes(std::stoull(parts.at(2)), base::from_hex(parts.at(1)).value().at(0));
  COFFER_CHECK(kind == "noise");
  return noise(std::stoull(parts.at(1)), std::stoull(parts.at(2)));
}

}  // namespace coffer::testing
