find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME unit/man_pages COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tools/man-pages
         --check --build ${CMAKE_BINARY_DIR})
set_tests_properties(unit/man_pages PROPERTIES LABELS unit TIMEOUT 120)
