// Runs a float graph through oneDNN, on one thread.
#ifndef MPQ_ENGINE_ONEDNN_EXECUTOR_H_
#define MPQ_ENGINE_ONEDNN_EXECUTOR_H_

#include <memory>

#include "engine/core/float_executor.h"

namespace mpq::onednn {

Result<std::unique_ptr<FloatExecutor>> MakeExecutor(const Graph& graph,
                                                    const FloatExecutorOptions& options);

}  // namespace mpq::onednn

#endif  // MPQ_ENGINE_ONEDNN_EXECUTOR_H_
