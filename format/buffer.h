// A read-only array that either owns its elements or points into memory someone else keeps alive
// (a mapped model file). Copying a Buffer never copies the elements.
#ifndef MPQ_FORMAT_BUFFER_H_
#define MPQ_FORMAT_BUFFER_H_

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace mpq {

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  // Takes the vector's elements over.
  Buffer(std::vector<T> elements)  // NOLINT: implicit by design
      : owner_(std::make_shared<const std::vector<T>>(std::move(elements))), view_(*owner_) {}
  // Points at `view`, whose memory must outlive the Buffer.
  static Buffer Borrow(std::span<const T> view) {
    Buffer buffer;
    buffer.view_ = view;
    return buffer;
  }

  const T* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }
  const T& operator[](size_t i) const { return view_[i]; }
  auto begin() const { return view_.begin(); }
  auto end() const { return view_.end(); }
  std::span<const T> span() const { return view_; }
  std::vector<T> ToVector() const { return std::vector<T>(view_.begin(), view_.end()); }

 private:
  std::shared_ptr<const std::vector<T>> owner_;
  std::span<const T> view_;
};

}  // namespace mpq

#endif  // MPQ_FORMAT_BUFFER_H_
