// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Memory aligned to 64 bytes, from the caller's allocator if there is one, freed with its owner.
///
/// Sizes come from validated models and pictures; the caller keeps accesses inside. What work needs is known before it begins
/// (`Memory.has`), so that here memory is there.
package final class AlignedBuffer<Element: BitwiseCopyable> {
  package let base: UnsafeMutablePointer<Element>
  package let count: Int

  package convenience init(count: Int, zero: Element) {
    self.init(uninitialized: count)
    base.initialize(repeating: zero, count: max(1, count))
  }

  /// For memory that is written before it is read.
  package init(uninitialized count: Int) {
    guard let raw = sc_memory_allocate(max(1, count) * MemoryLayout<Element>.stride) else {
      fatalError("out of memory")
    }
    base = raw.bindMemory(to: Element.self, capacity: max(1, count))
    self.count = count
  }

  deinit { sc_memory_release(UnsafeMutableRawPointer(base)) }
}
