// SPDX-License-Identifier: BSD-3-Clause

/// The tables of an entropy model by rate point: values, or those of a model file that were found right, which are read
/// again where one is asked for. A picture needs one of each, and reading all would take longer than decoding a small one.
package struct EntropyTables: RandomAccessCollection, Sendable {
  private enum Storage: Sendable {
    case values([EntropyTable])
    case file(FileBytes, offsets: [Int], MagnitudeRule, hasScales: Bool)
  }

  private let storage: Storage

  package init(_ tables: [EntropyTable]) { storage = .values(tables) }

  /// Each table that begins at one of the offsets has been read without an error.
  init(_ file: FileBytes, offsets: [Int], _ magnitude: MagnitudeRule, hasScales: Bool) {
    storage = .file(file, offsets: offsets, magnitude, hasScales: hasScales)
  }

  package var startIndex: Int { 0 }
  package var endIndex: Int {
    switch storage {
    case .values(let tables): tables.count
    case .file(_, let offsets, _, _): offsets.count
    }
  }

  /// Takes about a millisecond for a table of a file.
  package subscript(ratePoint: Int) -> EntropyTable {
    switch storage {
    case .values(let tables): return tables[ratePoint]
    case .file(let file, let offsets, let magnitude, let hasScales):
      let place = ModelLocation(section: "ENTR", item: "")
      let from = offsets[ratePoint]
      var reader = ByteReader<ModelError>(file.bytes, in: from..<file.bytes.count) { .truncated(place, offset: $0) }
      do throws(ModelError) {
        return try EntropyModel.table(&reader, nil, magnitude, hasScales: hasScales, isKept: true, place)
      } catch { preconditionFailure("it has been read before") }
    }
  }
}
