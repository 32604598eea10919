// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Memory aligned to 64 bytes, from the caller's allocator if there is one, freed with its owner or given back to the pool
/// that it is from.
///
/// Sizes come from validated models and pictures; the caller keeps accesses inside. What work needs is known before it begins
/// (`Memory.has`), so that here memory is there.
package final class AlignedBuffer<Element: BitwiseCopyable> {
  /// The first element, at a multiple of 64 bytes.
  package let base: UnsafeMutablePointer<Element>
  /// Elements.
  package let count: Int
  private let block: MemoryPool.Block
  private let pool: MemoryPool?

  /// Without content: everything is written before it is read.
  init(uninitialised count: Int, _ pool: MemoryPool? = nil) {
    let size = max(1, count) * MemoryLayout<Element>.stride
    block = pool?.take(size) ?? MemoryPool.allocate(size)
    base = block.address.bindMemory(to: Element.self, capacity: max(1, count))
    self.count = count
    self.pool = pool
  }

  /// With `zero` everywhere.
  convenience init(count: Int, zero: Element, _ pool: MemoryPool?) {
    self.init(uninitialised: count, pool)
    base.initialize(repeating: zero, count: max(1, count))
  }

  /// `count` elements of the value `zero`.
  package convenience init(count: Int, zero: Element) { self.init(count: count, zero: zero, nil) }

  deinit {
    if let pool { pool.give(block) } else { MemoryPool.release(block) }
  }
}
