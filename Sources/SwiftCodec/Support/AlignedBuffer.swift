// SPDX-License-Identifier: BSD-3-Clause

/// Zeroed memory aligned to 64 bytes, freed with its owner.
///
/// Sizes come from validated models and pictures; the caller keeps accesses inside.
package final class AlignedBuffer<Element: BitwiseCopyable> {
  /// The first element, at a multiple of 64 bytes.
  package let base: UnsafeMutablePointer<Element>
  /// Elements.
  package let count: Int

  /// `count` elements of the value `zero`.
  package init(count: Int, zero: Element) {
    let size = max(1, count) * MemoryLayout<Element>.stride
    let raw = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    base = raw.bindMemory(to: Element.self, capacity: max(1, count))
    base.initialize(repeating: zero, count: max(1, count))
    self.count = count
  }

  deinit { UnsafeMutableRawPointer(base).deallocate() }
}
