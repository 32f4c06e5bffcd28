#include "engine/core/stripes.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "engine/core/aligned_memory.h"
#include "format/message.h"
#include "format/node_fields.h"
#include "format/rounding.h"

namespace mpq {

namespace {

// A chain pays where its tensors would leave L2 between two steps. Smaller ones cost no peak memory
// either, and their stripes have too few positions to fill the tiles of the kernels: fused blocks
// of 14x14 took 5 % longer.
constexpr size_t kMinSavedBytes = size_t{384} * 1024;
// With several threads smaller ones pay as well: what stays in the thread's own cache need not come
// from another's. But the rows at the borders of its share are computed twice.
constexpr size_t kMinSharedBytes = size_t{96} * 1024;
constexpr uint32_t kMinRowsPerThread = 7;
// The rows of a stripe, all tensors together: a good part of L2, for few kernel calls. Equal shares
// are worth more.
constexpr size_t kStripeBytes = size_t{128} * 1024;
constexpr size_t kSharedStripeBytes = size_t{192} * 1024;
// Decoded weights, rows and the kernels' needs of a chain that several threads run for speed only.
// With 512 kB MobileNets were no faster.
constexpr size_t kMaxSharedScratch = size_t{320} * 1024;
// An image has at least so many stripes, so that threads have equal shares.
constexpr uint32_t kMinStripes = 14;
constexpr uint32_t kMaxStripeRows = 64;
// Kernels may read this far beyond a tensor (step.h).
constexpr size_t kOverReadBytes = 64;

// A residual is read at the output's pixels, not through the window.
bool IsResidual(const Step& step, size_t operand) {
  return operand == 1 && HasResidual(*step.node);
}

// Source rows that a window covers, from its first to its last.
int64_t WindowRows(const Window& window) {
  return int64_t{window.kernel_h - 1} * window.dilation_h + 1;
}

// Every window of the step touches a row of its source.
bool WindowsTouchSource(const Step& step) {
  const Window& window = step.node->window;
  const int64_t last_top = int64_t{step.dst.height - 1} * window.stride_h - window.pad_top;
  return window.pad_top < WindowRows(window) && last_top < step.src[0].height;
}

// Rows of the step's source under `rows` rows of its output.
uint32_t RowsUnder(const Step& step, uint32_t rows) {
  const Window& window = step.node->window;
  const int64_t needed = int64_t{rows - 1} * window.stride_h + WindowRows(window);
  return static_cast<uint32_t>(std::min<int64_t>(needed, step.src[0].height));
}

// Rows of every step's output in a stripe of `rows` rows of the last.
std::vector<uint32_t> StripeRows(std::span<const Step> steps, uint32_t rows) {
  std::vector<uint32_t> all(steps.size(), rows);
  for (size_t i = steps.size() - 1; i > 0; --i) all[i - 1] = RowsUnder(steps[i], all[i]);
  return all;
}

size_t BufferBytes(const Step& step, uint32_t rows) {
  return RoundUp(rows * step.dst.row_stride() + kOverReadBytes, AlignedMemory::kAlignment);
}

// Of the tensors between the steps, in a stripe.
size_t BuffersBytes(std::span<const Step> steps, const std::vector<uint32_t>& rows) {
  size_t bytes = 0;
  for (size_t i = 0; i + 1 < steps.size(); ++i) bytes += BufferBytes(steps[i], rows[i]);
  return bytes;
}

// The most that the step's kernel needs for up to `rows` rows.
size_t KernelBytes(const Step& step, uint32_t rows) {
  Step stripe = step;
  stripe.is_prepared = step.kernel->prepare != nullptr;
  stripe.dst.batch = 1;
  size_t bytes = 0;
  for (uint32_t i = 1; i <= rows; ++i) {
    stripe.dst.height = i;
    for (size_t operand = 0; operand < stripe.src.size(); ++operand) {
      stripe.src[operand].batch = 1;
      stripe.src[operand].height = IsResidual(step, operand) ? i : RowsUnder(step, i);
    }
    bytes = std::max(bytes, step.kernel->scratch_bytes(stripe));
  }
  return bytes;
}

size_t PreparedBytes(const Step& step) {
  if (step.kernel->prepare == nullptr) return 0;
  Step stripe = step;
  stripe.is_prepared = true;
  return RoundUp(step.kernel->prepared_bytes(stripe), AlignedMemory::kAlignment);
}

// Rows of the last step's output in a stripe.
uint32_t StripeHeight(std::span<const Step> steps, uint32_t threads) {
  const uint32_t height = steps.back().dst.height;
  // Equal shares in as few stripes as possible.
  for (uint32_t stripes = threads; threads > 1 && stripes <= height; stripes += threads) {
    const uint32_t rows = height / stripes;
    if (height % stripes == 0 && rows <= kMaxStripeRows &&
        BuffersBytes(steps, StripeRows(steps, rows)) <= kSharedStripeBytes) {
      return rows;
    }
  }
  uint32_t rows = std::min(DivideRoundUp(steps.back().dst.height, kMinStripes), kMaxStripeRows);
  while (rows > 1 && BuffersBytes(steps, StripeRows(steps, rows)) > kStripeBytes) --rows;
  return rows;
}

StripePlan PlanStripes(std::span<const Step> steps, uint32_t threads) {
  const uint32_t height = steps.back().dst.height;
  StripePlan plan;
  plan.stripes = DivideRoundUp(height, StripeHeight(steps, threads));
  plan.rows = DivideRoundUp(height, plan.stripes);
  const std::vector<uint32_t> all_rows = StripeRows(steps, plan.rows);
  size_t kernel_bytes = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    plan.prepared_offsets.push_back(plan.kernel_offset);
    plan.kernel_offset += PreparedBytes(steps[i]);
    kernel_bytes = std::max(kernel_bytes, KernelBytes(steps[i], all_rows[i]));
    if (i + 1 == steps.size()) break;
    plan.buffer_offsets.push_back(plan.kernel_offset);
    plan.kernel_offset += BufferBytes(steps[i], all_rows[i]);
  }
  plan.scratch_bytes = plan.kernel_offset + kernel_bytes;
  return plan;
}

// Adds the time of its life to seconds[index], where that is wanted.
class Stopwatch {
 public:
  Stopwatch(double* seconds, size_t index)
      : seconds_(seconds == nullptr ? nullptr : seconds + index) {
    if (seconds_ != nullptr) start_ = Clock::now();
  }
  ~Stopwatch() {
    if (seconds_ != nullptr) {
      *seconds_ += std::chrono::duration<double>(Clock::now() - start_).count();
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  double* const seconds_;
  Clock::time_point start_;
};

bool Is(const Step& step, OpKind kind) { return step.node->kind == kind; }

// A convolution and the pool after it, or the steps around a depthwise convolution at the beginning
// of `steps`: the convolution before it, the one after it if that makes the tensor smaller (a
// projection; else it begins the next chain), and an addition to the result. 0: there is none.
uint32_t BlockLength(std::span<const Step> steps) {
  if (steps.size() > 1 && Is(steps[0], OpKind::kConv) && Is(steps[1], OpKind::kMaxPool)) return 2;
  const uint32_t depthwise = Is(steps[0], OpKind::kDepthwiseConv) ? 0 : 1;
  if (steps.size() <= depthwise || !Is(steps[depthwise], OpKind::kDepthwiseConv)) return 0;
  if (depthwise == 1 && !Is(steps[0], OpKind::kConv)) return 0;
  uint32_t length = depthwise + 1;
  if (length < steps.size() && Is(steps[length], OpKind::kConv) &&
      steps[length].dst.image_stride() <= steps[depthwise].dst.image_stride()) {
    ++length;
    if (length < steps.size() && Is(steps[length], OpKind::kAdd)) ++length;
  }
  return length;
}

// The rows of a source of `height` rows that a step needs for some rows of its output.
RowRange SourceRows(const Window& window, int64_t height, RowRange rows) {
  const int64_t first = int64_t{rows.first} * window.stride_h - window.pad_top;
  const int64_t last =
      int64_t{rows.last - 1} * window.stride_h - window.pad_top + WindowRows(window);
  return {static_cast<uint32_t>(std::clamp<int64_t>(first, 0, height)),
          static_cast<uint32_t>(std::clamp<int64_t>(last, 0, height))};
}

// Some rows of one image; `first_row` is the row of the tensor at `data`.
TensorView Rows(const TensorView& whole, RowRange rows, uint8_t* data, uint32_t first_row) {
  TensorView view = whole;
  view.batch = 1;
  view.height = rows.count();
  view.data = data + (rows.first - first_row) * whole.row_stride();
  return view;
}

TensorView Rows(const TensorView& whole, RowRange rows, uint32_t image) {
  return Rows(whole, rows, whole.mutable_u8() + image * whole.image_stride(), 0);
}

}  // namespace

uint32_t ChooseChain(std::span<const Step> steps, uint32_t linked, uint32_t threads,
                     StripePlan& plan, std::string& refusal) {
  const uint32_t length = BlockLength(steps.first(linked));
  if (length < 2) {
    if (BlockLength(steps) > 1) {
      refusal = Message("stripes: the output of '", steps[linked - 1].node->name,
                        "' is observed, or others read it too");
    }
    return 1;
  }
  const std::span<const Step> chain = steps.first(length);
  size_t saved = 0;
  for (const Step& step : chain.first(length - 1)) saved += step.dst.image_stride();
  const bool share = chain.back().dst.height >= kMinRowsPerThread * threads && threads > 1;
  const size_t min_saved = share ? kMinSharedBytes : kMinSavedBytes;
  if (saved < min_saved) {
    refusal = Message("stripes: the ", saved, " bytes between ", length, " steps from here are ",
                      "fewer than ", min_saved);
    return 1;
  }
  for (const Step& step : chain) {
    if (WindowsTouchSource(step)) continue;
    refusal = Message("stripes: windows of '", step.node->name, "' lie in the padding");
    return 1;
  }
  const size_t buffers = BuffersBytes(chain, StripeRows(chain, StripeHeight(chain, threads)));
  if (buffers > saved / 2 && !share) {
    refusal = Message("stripes: buffers of ", buffers, " bytes instead of ", saved);
    return 1;
  }
  StripePlan planned = PlanStripes(chain, threads);
  if (saved < kMinSavedBytes && planned.scratch_bytes > kMaxSharedScratch) {
    refusal = Message("stripes: ", planned.scratch_bytes, " bytes of scratch, more than ",
                      kMaxSharedScratch);
    return 1;
  }
  plan = std::move(planned);
  return length;
}

StripeRunner::StripeRunner(std::span<const Step> steps, const StripePlan& plan)
    : plan_(plan), links_(steps.size()) {
  for (size_t i = 0; i < steps.size(); ++i) {
    Link& link = links_[i];
    link.step = steps[i];
    link.step.refusals.clear();
    link.step.is_prepared = link.step.kernel->prepare != nullptr;
    link.node = *steps[i].node;
    link.window = link.node.window;
    link.src = steps[i].src;
    link.dst = steps[i].dst;
    link.prepared_offset = plan.prepared_offsets[i];
    if (i + 1 < steps.size()) link.buffer_offset = plan.buffer_offsets[i];
    for (uint32_t input = 0; i > 0 && input < link.src.size(); ++input) {
      if (link.node.inputs[input] == links_[i - 1].node.output) link.chained = input;
    }
  }
}

void StripeRunner::Run(uint32_t first, uint32_t last, std::byte* scratch, double* seconds) {
  PrepareWeights(scratch, seconds);
  for (uint32_t item = first; item < last; ++item) {
    const uint32_t stripe = item % plan_.stripes;
    if (item == first || stripe == 0) {
      for (Link& link : links_) link.held = {};
    }
    const uint32_t row = stripe * plan_.rows;
    const uint32_t end = std::min(row + plan_.rows, links_.back().dst.height);
    if (row < end) RunStripe(item / plan_.stripes, {row, end}, scratch, seconds);
  }
}

void StripeRunner::PrepareWeights(std::byte* scratch, double* seconds) {
  for (size_t i = 0; i < links_.size(); ++i) {
    Step& step = links_[i].step;
    step.node = &links_[i].node;  // here, because runners are copied
    if (!step.is_prepared) continue;
    const Stopwatch stopwatch(seconds, i);
    step.prepared = scratch + links_[i].prepared_offset;
    step.kernel->prepare(step, scratch + plan_.kernel_offset);
  }
}

// From the last step to the first: which rows are missing; then they are computed.
void StripeRunner::RunStripe(uint32_t image, RowRange rows, std::byte* scratch, double* seconds) {
  links_.back().rows = rows;
  for (size_t i = links_.size() - 1; i > 0; --i) {
    Link& link = links_[i];
    if (link.rows.empty()) {
      links_[i - 1].rows = {};
    } else {
      Require(links_[i - 1], SourceRows(link.window, link.src[0].height, link.rows), scratch);
    }
  }
  for (size_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if (link.rows.empty()) continue;
    const Stopwatch stopwatch(seconds, i);
    PointAtRows(link, i > 0 ? &links_[i - 1] : nullptr, image, scratch);
    const Kernel& kernel = *link.step.kernel;
    kernel.run(link.step, 0, kernel.work_items(link.step), scratch + plan_.kernel_offset);
  }
}

// Keeps what the buffer holds of `rows`, at its beginning, and sets link.rows to the rest.
void StripeRunner::Require(Link& link, RowRange rows, std::byte* scratch) {
  if (link.held.first > rows.first || link.held.last <= rows.first) {
    link.held = rows;
    link.rows = rows;
    return;
  }
  link.rows = {std::min(link.held.last, rows.last), rows.last};
  const size_t row_bytes = link.dst.row_stride();
  std::byte* buffer = scratch + link.buffer_offset;
  if (rows.first > link.held.first) {
    std::memmove(buffer, buffer + (rows.first - link.held.first) * row_bytes,
                 (link.held.last - rows.first) * row_bytes);
  }
  link.held = {rows.first, std::max(link.held.last, rows.last)};
}

void StripeRunner::PointAtRows(Link& link, const Link* before, uint32_t image,
                               std::byte* scratch) const {
  const auto buffer = [&](const Link& of) {
    return reinterpret_cast<uint8_t*>(scratch + of.buffer_offset);
  };
  Step& step = link.step;
  const RowRange source_rows = SourceRows(link.window, link.src[0].height, link.rows);
  for (uint32_t i = 0; i < step.src.size(); ++i) {
    const RowRange rows = IsResidual(step, i) ? link.rows : source_rows;
    step.src[i] = i == link.chained ? Rows(link.src[i], rows, buffer(*before), before->held.first)
                                    : Rows(link.src[i], rows, image);
  }
  const bool stored = &link == &links_.back();
  step.dst = stored ? Rows(link.dst, link.rows, image)
                    : Rows(link.dst, link.rows, buffer(link), link.held.first);
  const Window& window = link.window;
  const int64_t above = int64_t{window.pad_top} - int64_t{link.rows.first} * window.stride_h;
  link.node.window.pad_top = static_cast<uint32_t>(std::max<int64_t>(above, 0));
}

}  // namespace mpq
