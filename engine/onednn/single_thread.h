// Keeps oneDNN's OpenMP runtime on the calling thread.
#ifndef MPQ_ENGINE_ONEDNN_SINGLE_THREAD_H_
#define MPQ_ENGINE_ONEDNN_SINGLE_THREAD_H_

// The two functions of OpenMP's omp.h that we need. Declared here because <omp.h> comes with the
// compiler while the runtime must be the one that libdnnl is linked with.
extern "C" {
int omp_get_max_threads(void);
void omp_set_num_threads(int num_threads);
}

namespace mpq::onednn {

// While it lives, parallel regions started by this thread have one thread: our callers run several
// executors in threads of their own, and oneDNN's sums depend on the thread count. The setting is
// the calling thread's alone (an "internal control variable" of OpenMP) and is put back.
class SingleThread {
 public:
  SingleThread() : threads_before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThread() { omp_set_num_threads(threads_before_); }
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  int threads_before_;
};

}  // namespace mpq::onednn

#endif  // MPQ_ENGINE_ONEDNN_SINGLE_THREAD_H_
