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
