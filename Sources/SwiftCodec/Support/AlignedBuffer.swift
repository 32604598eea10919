// SPDX-License-Identifier: BSD-3-Clause

/// Zeroed memory aligned to 64 bytes, freed with its owner.
///
/// Sizes come from validated models and pictures; the caller keeps accesses inside.
package final class AlignedBuffer<Element: BitwiseCopyable> {
  package let base: UnsafeMutablePointer<Element>
  package let count: Int

  package init(count: Int, zero: Element) {
    let size = max(1, count) * MemoryLayout<Element>.stride
    let raw = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    base = raw.bindMemory(to: Element.self, capacity: max(1, count))
    base.initialize(repeating: zero, count: max(1, count))
    self.count = count
  }

  deinit { UnsafeMutableRawPointer(base).deallocate() }
}
