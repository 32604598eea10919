// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Aligned memory that buffers leave behind for the next ones, so that coding a frame like the one before allocates no planes,
/// tensors or rows again. Any thread may use it.
///
/// What it holds is never more than what was in use at one time, up to twice that where sizes vary.
package final class MemoryPool: @unchecked Sendable {
  struct Block {
    let address: UnsafeMutableRawPointer
    let size: Int
  }

  private var idle: [Block] = []
  /// Blocks that came from the allocator so far.
  private(set) var allocations = 0
  private let lock: UnsafeMutablePointer<Int32>

  package init() {
    lock = .allocate(capacity: 1)
    lock.initialize(to: 0)
    idle.reserveCapacity(256)
  }

  deinit {
    for block in idle { Self.release(block) }
    lock.deallocate()
  }

  static func allocate(_ size: Int) -> Block {
    guard let address = sc_memory_allocate(size) else { fatalError("out of memory") }
    return Block(address: address, size: size)
  }

  static func release(_ block: Block) { sc_memory_release(block.address) }

  /// A block of `size` bytes or, if there is one, up to twice as large: the smallest, and of equal ones the last that was left,
  /// which the caches may still hold. Its content is not defined.
  func take(_ size: Int) -> Block {
    sc_lock(lock)
    var best = -1
    var least = 2 * size + 1
    for i in idle.indices.reversed() where idle[i].size >= size && idle[i].size < least {
      (best, least) = (i, idle[i].size)
    }
    let block = best >= 0 ? idle.remove(at: best) : nil
    if block == nil { allocations += 1 }
    sc_unlock(lock)
    return block ?? Self.allocate(size)
  }

  func give(_ block: Block) {
    sc_lock(lock)
    idle.append(block)
    sc_unlock(lock)
  }
}
