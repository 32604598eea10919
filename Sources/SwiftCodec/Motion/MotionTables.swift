// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The distributions of motion vectors' symbols that an inter model brings (docs/format/model.md, section MOTN): some sets,
/// of which each frame names one.
final class MotionTables: Sendable {
  /// 1…8
  let sets: Int
  // Written by `init` alone.
  private nonisolated(unsafe) let tables: UnsafeMutablePointer<sc_motion_tables>
  private nonisolated(unsafe) let costs: UnsafeMutablePointer<sc_motion_costs>

  /// nil for a section that is not valid.
  init?(section bytes: UnsafeBufferPointer<UInt8>, in range: Range<Int>) {
    tables = .allocate(capacity: Int(SC_MOTION_SETS))
    costs = .allocate(capacity: Int(SC_MOTION_SETS))
    let read = sc_motion_tables_read(tables, bytes.baseAddress.map { $0 + range.lowerBound }, range.count)
    sets = max(0, Int(read))
    guard read > 0 else { return nil }
    for set in 0..<sets { sc_motion_costs_make(costs + set, tables + set) }
  }

  deinit {
    tables.deallocate()
    costs.deallocate()
  }

  func table(_ set: Int) -> UnsafePointer<sc_motion_tables> { UnsafePointer(tables + set) }
  func costs(_ set: Int) -> UnsafePointer<sc_motion_costs> { UnsafePointer(costs + set) }
}
