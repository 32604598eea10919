// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Whether work may begin. Swift ends the process where an object finds no memory, so encoders and decoders say first what
/// they are going to need, and throw if so much is not there.
enum Memory {
  /// What small objects and the allocator's own bytes come to.
  static let slack: Int64 = 4 << 20

  /// Whether `bytes` and the slack could be had at once now.
  static func has(_ bytes: Int64) -> Bool {
    let (all, overflows) = bytes.addingReportingOverflow(slack)
    guard !overflows, let size = Int(exactly: all), size > 0 else { return false }
    return sc_memory_has(size) != 0
  }
}
