// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Calls body(0), …, body(count − 1), on up to `threads` threads, and returns when all are done.
package func parallel(threads: Int, count: Int, _ body: (Int) -> Void) {
  withoutActuallyEscaping(body) { body in
    var job = body
    withUnsafeMutablePointer(to: &job) { pointer in
      sc_parallel(
        Int32(threads), count,
        { context, index in context!.assumingMemoryBound(to: ((Int) -> Void).self).pointee(index) }, pointer)
    }
  }
}

/// Runs `count` jobs of about the same size: as many side by side as there are threads, each on one of them; those that are left
/// after that share all threads.
func forEachJob(_ count: Int, _ execution: Execution, _ body: (_ job: Int, _ inner: Execution) -> Void) {
  let threads = max(1, execution.threads)
  let alone = count / threads * threads
  let rest = count - alone
  if alone > 0 { parallel(threads: threads, count: alone) { body($0, execution.inside(parallel: threads)) } }
  if rest > 0 { parallel(threads: rest, count: rest) { body(alone + $0, execution.inside(parallel: rest)) } }
}
